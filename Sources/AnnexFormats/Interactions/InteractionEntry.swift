package import AnnexCore

/// One interaction of a text.
package struct InteractionEntry: Sendable, Equatable {
    package var user: Identifier
    package var item: Identifier
    /// Finite, and within `Limits.maximumConfidence`.
    package var weight: Float
    /// Milliseconds since 1970; nil where the line does not say.
    package var time: Int64?
    /// The line, counted from 0.
    package var row: Int
}
