import AnnexCore
import AnnexIndex

/// Why an item is not among the best k.
package struct WhyNot: Sendable {
    package enum Reason: String, Sendable {
        /// It is, as the search finds it.
        case answered
        case unknownItem = "unknown-item"
        /// The query names it.
        case excluded
        /// The user's history has it.
        case seen
        /// At least k others are better.
        case rank
        /// It belongs there, and the search did not find it: a higher effort would.
        case missed
    }

    package let reason: Reason
    /// Among the items that are not left out, from 1; where the item itself is left out, the rank it would have.
    package let rank: Int?
    package let score: Float?
    /// Of the last item of the answer; nil where that is empty.
    package let kthScore: Float?
}

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

    /// 1 and the number of items that are not left out and come before it.
    private func rank(of item: Int32, _ score: Float) throws(AnnexError) -> Int {
        var better = 0
        let marks = self.marks
        var first = 0
        while first < self.vectors.rows {
            if first % Self.rowsPerLook == 0 { try self.checkStop() }
            let rows = first..<min(first + Self.rowsAtOnce, self.vectors.rows)
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
