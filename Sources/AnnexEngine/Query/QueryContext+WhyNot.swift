import AnnexCore
import AnnexIndex

extension QueryContext {
    /// Searches as a query would, then compares every item with one. O(items × dimension) beside the search.
    ///
    /// The user must be in use, with what is seen left out or not as the query has it.
    ///
    /// - Parameters:
    ///   - item: nil where the version does not have it.
    ///   - isListed: whether the query itself leaves it out.
    func whyNot(
        item: Int32?,
        isListed: Bool,
        k: Int,
        effort: SearchEffort
    ) throws(AnnexError) -> WhyNot {
        _ = try self.search(k: k, effort: effort)
        let last = self.hits.last?.score
        guard let item else { return WhyNot(reason: .unknownItem, rank: nil, score: nil, kthScore: last) }
        let score = self.score(item)
        let rank = try self.rank(of: item, score)
        let marks = self.marks
        let reason: WhyNot.Reason =
            if isListed { .excluded } else if marks.contains(item) {
                .seen
            } else if self.hits.contains(where: {
                $0.ordinal == item
            }) { .answered } else if rank > k { .rank } else { .missed }
        return WhyNot(reason: reason, rank: rank, score: score, kthScore: last)
    }

    /// Returns 1 plus the number of items that are not left out and come before it.
    private func rank(of item: Int32, _ score: Float) throws(AnnexError) -> Int {
        var better = 0
        let marks = self.marks
        var first = 0
        while first < self.catalogue.count {
            if first % Self.rowsPerLook == 0 { try self.checkStop() }
            let rows = first..<min(first + Self.rowsAtOnce, self.catalogue.count)
            self.forEachScore(of: rows) { other, value in
                let isBetter = self.metric == .l2 ? value < score : value > score
                guard isBetter || (value == score && other < item), other != item, !marks.contains(other) else {
                    return
                }
                better += 1
            }
            first = rows.upperBound
            self.countRead(rows.count)
        }
        return better + 1
    }

    private static var rowsAtOnce: Int { 256 }
    private static var rowsPerLook: Int { 4_096 }
}
