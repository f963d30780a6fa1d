package import AnnexCore
import AnnexIndex

/// Asks for "the k items nearest to this", with all that belongs to the question. It is a value.
package struct SimilarityQuery: Sendable {
    package var k: Int
    package var effort: SearchEffort
    /// Tells whether the answer's items come with their attributes, which take time to copy.
    package var withAttributes: Bool
    /// Holds the time that the search may take before another thread has to run it, in nanoseconds.
    package var budgetNanos: Double

    package init(k: Int, effort: SearchEffort, withAttributes: Bool = false, budgetNanos: Double = .infinity) {
        self.k = k
        self.effort = effort
        self.withAttributes = withAttributes
        self.budgetNanos = budgetNanos
    }
}

/// The outcome of a search for items near to something.
package enum SimilarityAnswer: Equatable, Sendable {
    /// The context's `hits` are the answer, best first, until its next query.
    case hits
    /// It takes longer than the budget: ask again with a larger one, elsewhere. There are no hits; at most a walk, or reading as
    /// much as the budget allows, was in vain.
    case tooCostly
    case badVector(VectorProblem)
}

/// Says why a client's vector is none.
package enum VectorProblem: Equatable, Sendable {
    /// It has so many components, and should have the version's dimension.
    case length(Int)
    case notFinite(position: Int)
    /// Its Euclidean length is beyond what searches in float32 can compute with: the reason.
    case unscorable(String)
}
