import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore

/// The parts of an item's score for a user.
package struct Explanation: Sendable {
    package struct Part: Sendable {
        package let ordinal: Int32
        /// Adds up the weights of all events on the item.
        package let weight: Double
        /// The item's part of the score.
        package let contribution: Double
    }

    /// The score that TOPK gives, to a float's precision the sum of all contributions and the baseline.
    package let score: Float
    /// The method is `als` or `ridge`.
    package let method: String
    /// Counts the items of the history.
    package let events: Int
    /// The score without any history: μ + b_i of a biased model, else 0.
    package let baseline: Double
    /// Holds the largest contributions by size, largest first.
    package let parts: [Part]
    /// Adds up all other contributions.
    package let rest: Double
}
