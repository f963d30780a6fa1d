package import AnnexCore
import AnnexIndex

/// "The k items nearest to this", with all that belongs to it. A value.
package struct SimilarityQuery: Sendable {
    package var k: Int
    package var effort: SearchEffort
    /// Whether the answer's items come with their attributes, which take time to copy.
    package var withAttributes: Bool
    /// What the search may take before somebody else has to run it, in nanoseconds.
    package var budgetNanos: Double

    package init(k: Int, effort: SearchEffort, withAttributes: Bool = false, budgetNanos: Double = .infinity) {
        self.k = k
        self.effort = effort
        self.withAttributes = withAttributes
        self.budgetNanos = budgetNanos
    }
}

/// What a search for items near to something came to.
package enum SimilarityAnswer: Equatable, Sendable {
    /// The context's `hits` are the answer, best first, until its next query.
    case hits
    /// It takes longer than the budget: ask again with a larger one, elsewhere. There are no hits; at most a walk, or reading as
    /// much as the budget allows, was in vain.
    case tooCostly
    case badVector(VectorProblem)
}

/// Why a client's vector is none.
package enum VectorProblem: Equatable, Sendable {
    /// It has so many components, and should have the version's dimension.
    case length(Int)
    case notFinite(position: Int)
    /// Its Euclidean length is beyond what searches in float32 can compute with: the reason.
    case unscorable(String)
}

extension QueryContext {
    /// Fills `hits` with the best min(k, items), best first, for the row of an item. Nothing is left out; what earlier queries
    /// left out is forgotten.
    package func answer(_ query: SimilarityQuery, near ordinal: Int32) throws(AnnexError) -> SimilarityAnswer {
        self.useItem(ordinal)
        return try self.answer(query)
    }

    /// The same for a vector of `count` components, each given by `component`; nil where one is no number.
    package func answer(
        _ query: SimilarityQuery,
        nearVectorOf count: Int,
        _ component: (Int) -> Float?
    ) throws(AnnexError) -> SimilarityAnswer {
        if let problem = self.useVector(count: count, component) { return .badVector(problem) }
        return try self.answer(query)
    }

    private func answer(_ query: SimilarityQuery) throws(AnnexError) -> SimilarityAnswer {
        let nanos = WorkEstimate.nanos(
            of: query.effort,
            k: query.k,
            attributeBytes: query.withAttributes ? self.version.bytesPerAttribute : 0,
            isZero: self.queryIsZero,
            in: self.version.description
        )
        guard nanos <= query.budgetNanos else { return .tooCostly }
        let limit = WorkEstimate.limit(nanos: query.budgetNanos, in: self.version.description)
        return try self.search(k: query.k, effort: query.effort, limit: limit).isUnfinished ? .tooCostly : .hits
    }

    /// The scores of some items for the row of one. Allocates nothing.
    package func forEachScore(near ordinal: Int32, of others: [Int32], _ body: (Int32, Float) -> Void) {
        self.useItem(ordinal)
        for other in others { body(other, self.score(other)) }
    }
}
