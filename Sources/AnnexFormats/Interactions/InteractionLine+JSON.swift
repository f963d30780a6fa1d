import AnnexCore

extension InteractionLine {
    /// Reads `{"user": "u7", "item": 12, "weight": 2.5, "time": 1700000000000}`. Ids are text or whole numbers, weight
    /// and time may be left out or null, other members do not count.
    ///
    /// - Parameter row: counted from 0.
    static func entry(json line: [UInt8], row: Int) -> Result<Entry, RowProblem> {
        do throws(JSONObject.Problem) {
            let object = try JSONObject(line)
            // NaN and Infinity are no JSON, wherever they stand.
            if let offset = object.notFinite {
                return .failure(RowProblem("the line is no JSON object: wrong at byte \(offset + 1)"))
            }
            return try Self.entry(object, row: row)
        } catch {
            return .failure(RowProblem(error.reason))
        }
    }

    private static func entry(_ object: JSONObject, row: Int) throws(JSONObject.Problem) -> Result<Entry, RowProblem> {
        var ids: [[UInt8]] = []
        for name in ["user", "item"] {
            guard let value = try object.value(name) else {
                return .failure(RowProblem("the JSON object has no '\(name)'"))
            }
            guard let id = try object.identifier(value) else {
                let reason = "'\(name)' is neither text nor a whole number that is written out"
                return .failure(RowProblem(reason))
            }
            ids.append(id)
        }
        let weight = try Self.number("weight", object)
        let time = try Self.number("time", object)
        do throws(RowProblem) {
            var entry = Entry(
                user: try Self.identifier(ids[0], column: nil, isEscaped: true),
                item: try Self.identifier(ids[1], column: nil, isEscaped: true),
                weight: 1,
                time: nil,
                row: row
            )
            if let weight { entry.weight = try Self.weight(object.text(weight), column: nil) }
            if let time {
                // 1.7e12 is a whole number too; what is none is shown as it stands.
                let text = try? object.identifier(time)
                entry.time = try Self.time(text.map { $0[...] } ?? object.text(time), column: nil)
            }
            return .success(entry)
        } catch { return .failure(error) }
    }

    /// Returns the value of a member that must be a number; nil where it is left out or null.
    private static func number(_ name: String, _ object: JSONObject) throws(JSONObject.Problem) -> JSONObject.Value? {
        guard let value = try object.value(name) else { return nil }
        if value.kind == .word, object.text(value).elementsEqual("null".utf8) { return nil }
        guard value.kind == .number else { throw JSONObject.Problem(reason: "'\(name)' is no number") }
        return value
    }
}
