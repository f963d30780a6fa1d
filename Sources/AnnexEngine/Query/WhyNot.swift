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
    /// The score of the last item of the answer; nil where that is empty.
    package let kthScore: Float?
}
