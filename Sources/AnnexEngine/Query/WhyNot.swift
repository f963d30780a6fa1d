import AnnexCore
import AnnexIndex

/// Says why an item is not among the best k.
package struct WhyNot: Sendable {
    package enum Reason: String, Sendable {
        /// It is, as the search finds it.
        case answered
        case unknownItem = "unknown-item"
        /// The query names it.
        case excluded
        /// The user's history has it.
        case seen
        /// At least k others score better.
        case rank
        /// It belongs there, and the search did not find it: a higher effort would.
        case missed
    }

    package let reason: Reason
    /// Counts from 1 among the items that are not left out. Where the item itself is left out, it is the rank that it
    /// would have.
    package let rank: Int?
    package let score: Float?
    /// The score of the last item of the answer; nil where that is empty.
    package let kthScore: Float?
}
