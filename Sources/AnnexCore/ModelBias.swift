/// Holds a biased model's constant parts. Its score is μ + b_u + b_i + x · y (Koren, Bell and Volinsky 2009), for a
/// user u with factors x and an item i with factors y.
///
/// Rows of such a version have one component more than clients see. An item's is y and then b_i, a user's x and then
/// μ + b_u; a search asks for x and then 1 and adds μ + b_u to what it finds. The constant of a user is in no row of an
/// item: it is the same for all items, so it orders nothing, and a component that all items share would make all rows about
/// equally long, which is what searches are fast by on inner products.
///
/// What has no user (an item's neighbours, a client's vector) asks for y and then 0: scores without biases.
package struct ModelBias: Sendable, Equatable {
    /// μ; 0 where the model has none.
    package var globalMean: Double
    /// Tells whether users have a level of their own, b_u, so that one is solved for new users too.
    package var hasUserBiases: Bool

    package init(globalMean: Double, hasUserBiases: Bool) {
        self.globalMean = globalMean
        self.hasUserBiases = hasUserBiases
    }

    /// A row has so many components beyond those that clients see.
    package static let components = 1
    /// Holds the last component of a query for a user, and of one that has no user.
    package static let userComponent: Float = 1
    package static let plainComponent: Float = 0
}
