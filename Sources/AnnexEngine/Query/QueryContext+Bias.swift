import AnnexCore
import AnnexIndex

/// Answers queries on a biased model: see `ModelBias`.
extension QueryContext {
    /// Makes a query of a user's row, which was just put there: takes μ + b_u out of its last component, as the constant
    /// of all scores.
    func takeConstant() {
        guard self.isBiased, let last = self.query.indices.last else { return }
        self.constant = self.query[last]
        self.query[last] = ModelBias.userComponent
    }

    /// Makes a query without a user of what was just put there: scores are products of factors.
    func takeNoBias() {
        guard self.isBiased, let last = self.query.indices.last else { return }
        self.constant = 0
        self.query[last] = ModelBias.plainComponent
    }

    /// Searches without the constant, which is in no row, then adds it.
    ///
    /// Scores that differed may be equal float32 with the constant on top; the order of ids counts among them too. An
    /// exact search therefore asks for what is behind the k-th until the score is another.
    /// All these searches together keep to the limit.
    func searchWithConstant(k: Int, effort: SearchEffort, limit: SearchLimit) throws(AnnexError) -> SearchReport {
        var asked = effort == .exact ? min(k + 1, Limits.maximumK) : k
        var limit = limit
        while true {
            let report = try self.searchRows(k: asked, effort: effort, limit: limit)
            if report.isUnfinished { return report }
            limit.codes = max(0, limit.codes - (report.read ?? 0))
            limit.rows = max(0, limit.rows - (report.read ?? 0))
            for index in self.hits.indices { self.hits[index].score += self.constant }
            let isCut = asked > k && self.hits.count == asked && self.hits[asked - 1].score == self.hits[k - 1].score
            guard isCut, asked < Limits.maximumK else {
                self.orderEqualHits()
                if self.hits.count > k { self.hits.removeLast(self.hits.count - k) }
                return report
            }
            asked = min(2 * asked, Limits.maximumK)
        }
    }

    /// Puts hits of equal scores in the order of ids. O(hits) where there are none.
    private func orderEqualHits() {
        var first = 0
        while first < self.hits.count {
            var end = first + 1
            while end < self.hits.count, self.hits[end].score == self.hits[first].score { end += 1 }
            if end - first > 1 { self.hits[first..<end].sort { $0.ordinal < $1.ordinal } }
            first = end
        }
    }
}
