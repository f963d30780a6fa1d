package import AnnexCore

/// Interactions as text, one a line: user, item, and perhaps weight (else 1) and time. Used by one thread; holds a line.
///
/// A first line is a heading where it names its columns: the first is user, user_id, userId, uid, session, session_id,
/// customer or customer_id, and the second item, product, sku or what ends in "id". Where its third is time, timestamp or
/// ts, the time stands there and the weight behind it. Blank lines do not count as interactions; rows of errors are lines
/// of the file.
package final class InteractionText {
    package struct Entry: Sendable, Equatable {
        package var user: Identifier
        package var item: Identifier
        /// Finite.
        package var weight: Float
        /// Milliseconds since 1970; nil where the line does not say.
        package var time: Int64?
        /// The line, counted from 0.
        package var row: Int
    }

    /// Lines that were left out.
    package var rejects: [RejectedRow] { self.gate.rejects }

    private let stream: ByteStream
    private let separator: UInt8
    private var gate: RowGate
    private var line = 0
    private var isFirst = true
    private var columns = InteractionLine.Columns()

    init(_ path: String, gate: RowGate, separator: UInt8) throws(AnnexError) {
        (self.gate, self.separator) = (gate, separator)
        self.stream = try ByteStream(path: path)
        try self.stream.beginText()
    }

    /// The next interaction; nil at the end.
    ///
    /// - Throws: `.badInput` with file, row and column (counted from 1) for a bad line, unless bad rows are skipped.
    package func next() throws(AnnexError) -> Entry? {
        while let text = try self.stream.line() {
            let row = self.line
            self.line += 1
            if text.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
            guard let fields = DelimitedLine.fields(text, separator: self.separator) else {
                try self.reject(row: row, column: nil, "a quote is not closed")
                continue
            }
            defer { self.isFirst = false }
            if self.isFirst, let columns = InteractionLine.columns(ofHeading: fields) {
                self.columns = columns
                continue
            }
            switch InteractionLine.entry(fields, self.columns, row: row) {
            case .success(let entry): return entry
            case .failure(let problem): try self.reject(row: row, column: problem.column, problem.reason)
            }
        }
        return nil
    }

    /// Leaves a line out, or throws: for what only the caller knows.
    ///
    /// - Parameters:
    ///   - row: of the entry.
    ///   - column: counted from 0.
    package func reject(row: Int, column: Int?, _ reason: String) throws(AnnexError) {
        try self.gate.reject(row: row, column: column, reason)
    }
}
