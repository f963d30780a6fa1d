import AnnexCore

/// A JSON object per line with a vector, and an id or none: `{"id": 7, "features": [0.1, 0.2]}` as Spark's ALS writes
/// its factors. The vector is the first field out of vector, factors, features, embedding, values that there is.
final class JSONLinesReader: LineRowReader {
    static let vectorFields = ["vector", "factors", "features", "embedding", "values"]

    override init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        try super.init(stream, gate: gate)
        try self.begin()
    }

    override func parse(_ line: [UInt8]) -> TextRow? {
        if TextNumbers.trimmed(line[...]).isEmpty { return nil }
        do throws(JSONObject.Problem) { return try self.row(JSONObject(line)) } catch {
            return TextRow(problem: (error.reason, nil))
        }
    }

    private func row(_ object: JSONObject) throws(JSONObject.Problem) -> TextRow {
        var row = TextRow()
        if let id = try object.value("id") {
            row.identifier = try object.identifier(id)
            guard row.identifier != nil else {
                row.problem = ("'id' is neither text nor a whole number that is written out", nil)
                return row
            }
        }
        var vector: (field: String, list: JSONObject.Value)?
        for field in Self.vectorFields where vector == nil { vector = try object.value(field).map { (field, $0) } }
        guard let (field, list) = vector else {
            row.problem = ("no field of \(Self.vectorFields.joined(separator: ", "))", nil)
            return row
        }
        guard list.kind == .list else {
            row.problem = ("'\(field)' is no list of numbers", nil)
            return row
        }
        if let place = object.notFinite, !list.place.contains(place) {
            row.problem = ("the line is no JSON object: wrong at byte \(place + 1)", nil)
            return row
        }
        for (column, element) in try object.elements(list).enumerated() {
            let text = object.text(element)
            guard element.kind == .number, case .success(let value) = TextNumbers.float(text) else {
                row.problem = ("component \(column + 1) is no number: \(Printable.escape(text, limit: 40))", column)
                return row
            }
            row.values.append(value)
        }
        return row
    }
}
