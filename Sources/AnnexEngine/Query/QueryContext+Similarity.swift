package import AnnexCore
import AnnexIndex

extension QueryContext {
    /// Fills `hits` with the best min(k, items), best first, for the row of an item. Nothing is left out; what earlier queries
    /// left out is forgotten.
    package func answer(_ query: SimilarityQuery, near ordinal: Int32) throws(AnnexError) -> SimilarityAnswer {
        self.useItem(ordinal)
        return try self.answer(query)
    }

    /// Fills `hits` for a vector of `count` components, each given by `component`; nil where one is no number.
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
        let isFound = try self.search(k: query.k, effort: query.effort, nanos: nanos, budgetNanos: query.budgetNanos)
        return isFound ? .hits : .tooCostly
    }

    /// Lends the scores of some items for the row of one. Allocates nothing.
    package func forEachScore(near ordinal: Int32, of others: [Int32], _ body: (Int32, Float) -> Void) {
        self.useItem(ordinal)
        for other in others { body(other, self.score(other)) }
    }
}
