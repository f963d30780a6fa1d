package import AnnexCore

/// Interactions as text, one a line: user, item, and perhaps weight (else 1) and time. Used by one thread; holds a line.
///
/// A first line is a heading where it names its columns: the first is user, user_id, userId, uid, session, session_id,
/// customer or customer_id, and the second item, product, sku or what ends in "id". Blank lines do not count as interactions;
/// rows of errors are lines of the file.
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

    private static let userHeadings: Set<String> = [
        "user", "userid", "uid", "session", "sessionid", "customer", "customerid",
    ]
    private static let itemHeadings: Set<String> = ["item", "product", "sku"]

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
            if self.isFirst, Self.isHeading(fields) { continue }
            switch Self.entry(fields, row) {
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

    private struct Problem: Error {
        var reason: String
        var column: Int?
    }

    private static func entry(_ fields: [ArraySlice<UInt8>], _ row: Int) -> Result<Entry, Problem> {
        guard (2...4).contains(fields.count) else {
            return .failure(Problem(reason: "the line has \(fields.count) fields; it is user, item, weight, time"))
        }
        for column in 0..<2 {
            if let reason = IdentifierFile.check(Array(fields[column])) {
                return .failure(Problem(reason: reason, column: column))
            }
        }
        guard let user = Identifier(Array(fields[0])), let item = Identifier(Array(fields[1])) else {
            return .failure(Problem(reason: "the id is not valid UTF-8"))
        }
        var entry = Entry(user: user, item: item, weight: 1, time: nil, row: row)
        if fields.count > 2 {
            switch TextNumbers.float(fields[2]) {
            case .success(let value): entry.weight = value
            case .failure(let problem): return .failure(Problem(reason: problem.reason, column: 2))
            }
            if let (_, reason) = RowGate.problem([entry.weight][...]) {
                return .failure(Problem(reason: reason, column: 2))
            }
        }
        if fields.count > 3 {
            let text = TextNumbers.trimmed(fields[3])
            guard let time = Int64(String(decoding: text, as: UTF8.self)), time >= 0 else {
                let reason = "'\(Printable.escape(text, limit: 40))' is no time in whole milliseconds since 1970"
                return .failure(Problem(reason: reason, column: 3))
            }
            entry.time = time
        }
        return .success(entry)
    }

    private static func isHeading(_ fields: [ArraySlice<UInt8>]) -> Bool {
        guard fields.count >= 2 else { return false }
        let names = fields.prefix(2).map { field in
            String(decoding: TextNumbers.trimmed(field), as: UTF8.self).lowercased().filter { $0 != "_" && $0 != "-" }
        }
        return Self.userHeadings.contains(names[0])
            && (Self.itemHeadings.contains(names[1]) || names[1].hasSuffix("id"))
    }
}
