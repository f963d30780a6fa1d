package import AnnexCore
import Foundation

/// A JSON object per line with a vector, and an id or none: `{"id": 7, "features": [0.1, 0.2]}` as Spark's ALS writes
/// its factors. The vector is the one field out of vector, factors, features, embedding, values that there is.
final class JSONLinesReader: LineRowReader {
    static let vectorFields = ["vector", "factors", "features", "embedding", "values"]

    override init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        try super.init(stream, gate: gate)
        try self.begin()
    }

    override func parse(_ line: [UInt8]) -> TextRow? {
        if TextNumbers.trimmed(line[...]).isEmpty { return nil }
        guard let object = JSONText.object(line) else { return TextRow(problem: ("the line is no JSON object", nil)) }
        guard let field = Self.vectorFields.first(where: { object[$0] != nil }) else {
            return TextRow(problem: ("no field of \(Self.vectorFields.joined(separator: ", "))", nil))
        }
        guard let list = object[field] as? [Any] else { return TextRow(problem: ("'\(field)' is no list of numbers", nil)) }
        var row = TextRow(identifier: object["id"].flatMap(JSONText.identifier))
        if object["id"] != nil, row.identifier == nil {
            row.problem = ("'id' is neither text nor a whole number", nil)
            return row
        }
        for (column, element) in list.enumerated() {
            guard let number = element as? NSNumber, !JSONText.isBoolean(number) else {
                row.problem = ("component \(column + 1) is no number", column)
                return row
            }
            row.values.append(Float(number.doubleValue))
        }
        return row
    }
}

enum JSONText {
    static func object(_ line: [UInt8]) -> [String: Any]? {
        try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
    }

    static func isBoolean(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }

    /// Text as it is; a whole number in decimal.
    static func identifier(_ value: Any) -> [UInt8]? {
        if let text = value as? String { return Array(text.utf8) }
        guard let number = value as? NSNumber, !Self.isBoolean(number) else { return nil }
        if let whole = Int(exactly: number) { return Array(String(whole).utf8) }
        return nil
    }
}

/// Attributes: a JSON object per line with the item's `id`; the line is the item's attributes, `id` included.
package final class AttributeReader {
    private let stream: ByteStream
    private var row = 0

    package init(path: String) throws(AnnexError) { self.stream = try ByteStream(path: path) }

    /// The next item; nil at the end. `row` counts from 1; `json` is the line without blanks at its ends.
    package func next() throws(AnnexError) -> (row: Int, identifier: Identifier, json: [UInt8])? {
        while let line = try self.stream.line() {
            self.row += 1
            let text = TextNumbers.trimmed(line[...])
            if text.isEmpty { continue }
            func bad(_ why: String) -> AnnexError {
                AnnexError(.badInput, why, at: "\(self.stream.path):\(self.row)", hint: "Each line is one JSON object with an \"id\"")
            }
            guard let object = JSONText.object(Array(text)) else { throw bad("the line is no JSON object") }
            guard let id = object["id"].flatMap(JSONText.identifier) else { throw bad("there is no 'id' that is text or a whole number") }
            if let problem = IdentifierFile.check(id) { throw bad(problem) }
            guard let identifier = Identifier(id) else { throw bad("the id is not valid") }
            return (self.row, identifier, Array(text))
        }
        return nil
    }
}
