import AnnexCore

/// Reads a JSON object per line with a vector, and an id or none: `{"id": 7, "features": [0.1, 0.2]}` as Spark's ALS
/// writes its factors. The vector is the first field out of vector, factors, features, embedding, values that there is.
final class JSONLinesReader: LineRowReader {
    static let vectorFields = ["vector", "factors", "features", "embedding", "values"]

    override init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        try super.init(stream, gate: gate)
        try self.begin()
    }

    override func parse(_ line: [UInt8]) throws(AnnexError) -> TextRow? {
        if TextNumbers.trimmed(line[...]).isEmpty { return nil }
        do throws(JSONObject.Problem) { return try self.row(JSONObject(line)) } catch {
            return TextRow(problem: RowProblem(error.reason))
        }
    }

    private func row(_ object: JSONObject) throws(JSONObject.Problem) -> TextRow {
        var row = TextRow(isEscaped: true)
        if let id = try object.value("id") {
            row.identifier = try object.identifier(id)
            guard row.identifier != nil else {
                row.problem = RowProblem("'id' is neither text nor a whole number that is written out")
                return row
            }
        }
        var vector: (field: String, list: JSONObject.Value)?
        for field in Self.vectorFields where vector == nil { vector = try object.value(field).map { (field, $0) } }
        guard let (field, list) = vector else {
            row.problem = RowProblem("no field of \(Self.vectorFields.joined(separator: ", "))")
            return row
        }
        guard list.kind == .list else {
            row.problem = RowProblem("'\(field)' is no list of numbers")
            return row
        }
        if let offset = object.notFinite, !list.range.contains(offset) {
            row.problem = RowProblem("the line is no JSON object: wrong at byte \(offset + 1)")
            return row
        }
        for (column, element) in try object.elements(list).enumerated() {
            let text = object.text(element)
            guard element.kind == .number, case .success(let value) = TextNumbers.float(text) else {
                row.problem = RowProblem(
                    "component \(column + 1) is no number: \(Printable.escape(text, limit: 40))",
                    column: column
                )
                return row
            }
            row.values.append(value)
        }
        return row
    }
}
