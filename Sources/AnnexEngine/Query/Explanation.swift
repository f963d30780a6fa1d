import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore

/// The parts of an item's score for a user.
package struct Explanation: Sendable {
    package struct Part: Sendable {
        package let ordinal: Int32
        /// All events on the item together.
        package let weight: Double
        /// The item's part of the score.
        package let contribution: Double
    }

    /// The score that TOPK gives, to a float's precision the sum of all contributions and the baseline.
    package let score: Float
    /// `als` or `ridge`.
    package let method: String
    /// How many items the history has.
    package let events: Int
    /// The score without any history: μ + b_i of a biased model, else 0.
    package let baseline: Double
    /// The largest contributions by size, largest first.
    package let parts: [Part]
    /// The sum of all others.
    package let rest: Double
}
