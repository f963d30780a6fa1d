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
    private let skipBadRows: Bool
    private var row = 0
    /// Lines that were left out so far.
    package private(set) var rejects: [RejectedRow] = []

    package init(path: String, skipBadRows: Bool = false) throws(AnnexError) {
        self.stream = try ByteStream(path: path)
        self.skipBadRows = skipBadRows
    }

    /// The next item; nil at the end. A line that is none is an error, or left out where bad rows are skipped. `row` counts from 1; `json` is the line without blanks at its ends.
    package func next() throws(AnnexError) -> (row: Int, identifier: Identifier, json: [UInt8])? {
        while let line = try self.stream.line() {
            self.row += 1
            let text = TextNumbers.trimmed(line[...])
            if text.isEmpty { continue }
            let (identifier, problem) = Self.identifier(of: Array(text))
            if let identifier { return (self.row, identifier, Array(text)) }
            guard self.skipBadRows else {
                throw AnnexError(
                    .badInput, problem, at: "\(self.stream.path):\(self.row)",
                    hint: "Each line is one JSON object with an \"id\". Mend it, or give --skip-bad-rows")
            }
            self.rejects.append(RejectedRow(row: self.row, column: nil, reason: problem))
        }
        return nil
    }

    private static func identifier(of line: [UInt8]) -> (Identifier?, problem: String) {
        guard let object = JSONText.object(line) else { return (nil, "the line is no JSON object") }
        guard let id = object["id"].flatMap(JSONText.identifier) else {
            return (nil, "there is no 'id' that is text or a whole number")
        }
        return (Identifier(id), IdentifierFile.check(id) ?? "the id is not valid")
    }
}
