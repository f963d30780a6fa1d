import AnnexCore

/// Reads a line of interactions as text: user, item, and perhaps weight (else 1) and time.
enum InteractionLine {
    typealias Entry = InteractionEntry

    /// - Parameter row: counted from 0.
    static func entry(
        _ fields: [ArraySlice<UInt8>],
        _ columns: InteractionColumns,
        row: Int
    ) -> Result<Entry, RowProblem> {
        guard columns.counts.contains(fields.count) else {
            let wanted =
                columns.counts.count == 1
                ? "the columns that were said are \(columns.counts.lowerBound)" : "it is user, item, weight, time"
            return .failure(RowProblem("the line has \(fields.count) fields; \(wanted)", hint: Self.columnsHint))
        }
        guard max(columns.user, columns.item) < fields.count else {
            return .failure(RowProblem("the line has \(fields.count) fields, and user or item is missing"))
        }
        do throws(RowProblem) {
            var entry = Entry(
                user: try Self.identifier(Array(fields[columns.user]), column: columns.user),
                item: try Self.identifier(Array(fields[columns.item]), column: columns.item),
                weight: 1,
                time: nil,
                row: row
            )
            if let column = columns.weight, column < fields.count {
                entry.weight = try Self.weight(fields[column], column: column)
            }
            if let column = columns.time, column < fields.count {
                entry.time = try Self.time(fields[column], column: column)
            }
            return .success(entry)
        } catch { return .failure(error) }
    }

    private static let columnsHint = "Say what the columns are: --columns user,item,weight,time (- passes over one)"

    static func identifier(_ bytes: [UInt8], column: Int?, isEscaped: Bool = false) throws(RowProblem) -> Identifier {
        if let reason = IdentifierCheck.problem(bytes, isEscaped: isEscaped) {
            throw RowProblem(reason, column: column)
        }
        guard let id = Identifier(bytes) else { throw RowProblem("the id is not valid UTF-8", column: column) }
        return id
    }

    static func weight(_ field: ArraySlice<UInt8>, column: Int?) throws(RowProblem) -> Float {
        switch TextNumbers.float(field) {
        case .failure(let problem): throw RowProblem(problem.reason, column: column)
        case .success(let value):
            if var problem = RowGate.notFinite([value]) {
                problem.column = column
                throw problem
            }
            guard Double(abs(value)) <= Limits.maximumConfidence else {
                let text = "the weight '\(Printable.escape(TextNumbers.trimmed(field), limit: 40))'"
                throw EventTime.isLikely(Double(value))
                    ? RowProblem(text + " seems to be a time", column: column, hint: Self.columnsHint)
                    : RowProblem(
                        text + " is above \(Printable.scientific(Limits.maximumConfidence)) in size",
                        column: column,
                        hint: Self.scaleHint
                    )
            }
            return value
        }
    }

    static let scaleHint = "Divide all weights by one number, or take their logarithms"

    static func time(_ field: ArraySlice<UInt8>, column: Int?) throws(RowProblem) -> Int64 {
        let text = TextNumbers.trimmed(field)
        guard let time = Int64(String(decoding: text, as: UTF8.self)), time >= 0 else {
            let reason = "'\(Printable.escape(text, limit: 40))' is no time in whole milliseconds since 1970"
            throw RowProblem(reason, column: column)
        }
        if let problem = EventTime.problem(time) {
            var wrong = RowProblem("the time \(time) \(problem)", column: column)
            wrong.isUnitOfTime = true
            throw wrong
        }
        return time
    }
}
