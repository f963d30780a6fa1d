/// Says how a query vector is compared with an item's vector.
package enum Metric: String, Sendable, CaseIterable {
    /// The score is the dot product; higher is better. Matrix factorisation is trained for it.
    case ip
    /// The score is the cosine of the angle; higher is better.
    case cosine
    /// The score is the squared Euclidean distance; lower is better.
    case l2

    /// Tells whether a larger score stands for a better item.
    package var higherIsBetter: Bool { self != .l2 }

    /// Tells whether score `a` ranks strictly before score `b`.
    @inlinable
    package func isBetter(_ a: Float, than b: Float) -> Bool { self == .l2 ? a < b : a > b }
}
