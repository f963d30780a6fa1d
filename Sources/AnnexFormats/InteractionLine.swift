import AnnexCore

/// A line of interactions as text: user, item, and perhaps weight (else 1) and time.
enum InteractionLine {
    typealias Entry = InteractionText.Entry

    struct Problem: Error {
        var reason: String
        /// Counted from 0.
        var column: Int?
    }

    /// Where what may be left out stands. A heading may have the two the other way round.
    struct Columns: Equatable {
        var weight = 2
        var time = 3
    }

    private static let userHeadings: Set<String> = [
        "user", "userid", "uid", "session", "sessionid", "customer", "customerid",
    ]
    private static let itemHeadings: Set<String> = ["item", "product", "sku"]
    private static let timeHeadings: Set<String> = ["time", "timestamp", "ts", "timems", "eventtime", "unixtime"]

    /// Nil where the fields are no heading.
    static func columns(ofHeading fields: [ArraySlice<UInt8>]) -> Columns? {
        guard fields.count >= 2 else { return nil }
        let names = fields.prefix(3).map { field in
            String(decoding: TextNumbers.trimmed(field), as: UTF8.self).lowercased().filter { $0 != "_" && $0 != "-" }
        }
        guard Self.userHeadings.contains(names[0]),
            Self.itemHeadings.contains(names[1]) || names[1].hasSuffix("id")
        else { return nil }
        return names.count > 2 && Self.timeHeadings.contains(names[2]) ? Columns(weight: 3, time: 2) : Columns()
    }

    /// - Parameter row: counted from 0.
    static func entry(_ fields: [ArraySlice<UInt8>], _ columns: Columns, row: Int) -> Result<Entry, Problem> {
        guard (2...4).contains(fields.count) else {
            return .failure(Problem(reason: "the line has \(fields.count) fields; it is user, item, weight, time"))
        }
        do throws(Problem) {
            var entry = Entry(
                user: try Self.identifier(Array(fields[0]), column: 0),
                item: try Self.identifier(Array(fields[1]), column: 1),
                weight: 1,
                time: nil,
                row: row
            )
            if fields.count > columns.weight {
                entry.weight = try Self.weight(fields[columns.weight], column: columns.weight)
            }
            if fields.count > columns.time { entry.time = try Self.time(fields[columns.time], column: columns.time) }
            return .success(entry)
        } catch { return .failure(error) }
    }

    static func identifier(_ bytes: [UInt8], column: Int?) throws(Problem) -> Identifier {
        if let reason = IdentifierFile.check(bytes) { throw Problem(reason: reason, column: column) }
        guard let id = Identifier(bytes) else { throw Problem(reason: "the id is not valid UTF-8", column: column) }
        return id
    }

    static func weight(_ field: ArraySlice<UInt8>, column: Int?) throws(Problem) -> Float {
        switch TextNumbers.float(field) {
        case .failure(let problem): throw Problem(reason: problem.reason, column: column)
        case .success(let value):
            if let (_, reason) = RowGate.problem([value][...]) { throw Problem(reason: reason, column: column) }
            return value
        }
    }

    static func time(_ field: ArraySlice<UInt8>, column: Int?) throws(Problem) -> Int64 {
        let text = TextNumbers.trimmed(field)
        guard let time = Int64(String(decoding: text, as: UTF8.self)), time >= 0 else {
            let reason = "'\(Printable.escape(text, limit: 40))' is no time in whole milliseconds since 1970"
            throw Problem(reason: reason, column: column)
        }
        return time
    }
}
