package import AnnexCore

/// Reads interactions as text, one a line: user, item, and perhaps weight (else 1) and time. One thread uses it. It
/// holds a line, and some at the beginning.
///
/// A first line is a heading where it names its columns: one is user, user_id, userId, uid, session, session_id,
/// customer or customer_id, and another item, product, sku or what ends in "id"; weight and time stand where it says.
/// Blank lines do not count as interactions; rows of errors are lines of the file.
package final class InteractionText {
    /// Lists lines that were left out.
    package var rejects: [RejectedRow] { self.gate.rejects }

    private let lines: InteractionLines
    private var gate: RowGate

    init(_ stream: ByteStream, gate: RowGate, format: InteractionLines.Format) throws(AnnexError) {
        self.gate = gate
        self.lines = try InteractionLines(stream, format: format)
    }

    /// Returns the next interaction; nil at the end.
    ///
    /// - Throws: `.badInput` with file, row and column (counted from 1) for a bad line, unless bad rows are skipped.
    package func next() throws(AnnexError) -> InteractionEntry? {
        while let line = try self.lines.next() {
            switch line.content {
            case .entry(let entry): return entry
            case .problem(let problem): try self.gate.reject(row: line.row, problem)
            case .nothing: continue
            }
        }
        return nil
    }

    /// Leaves a line out, or throws: for what only the caller knows.
    ///
    /// - Parameters:
    ///   - entry: of the line.
    ///   - role: of the field that is wrong; nil for the whole line.
    package func reject(_ entry: InteractionEntry, _ role: InteractionColumns.Role?, _ reason: String)
        throws(AnnexError)
    {
        let column = role.flatMap { self.lines.column(of: $0) }
        try self.gate.reject(row: entry.row, RowProblem(reason, column: column))
    }
}
