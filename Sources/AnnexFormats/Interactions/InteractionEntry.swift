package import AnnexCore

/// Holds one interaction of a text.
package struct InteractionEntry: Sendable, Equatable {
    package var user: Identifier
    package var item: Identifier
    /// It is finite, and within `Limits.maximumConfidence`.
    package var weight: Float
    /// Counts milliseconds since 1970. It is nil where the line does not say.
    package var time: Int64?
    /// Holds the line, counted from 0.
    package var row: Int
}
