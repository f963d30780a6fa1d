/// Describes a row that was left out.
package struct RejectedRow: Sendable, Equatable {
    /// Counted from 1.
    package let row: Int
    /// Counted from 1; nil where the whole row is at fault.
    package let column: Int?
    package let reason: String

    package init(row: Int, column: Int?, reason: String) {
        self.row = row
        self.column = column
        self.reason = reason
    }
}
