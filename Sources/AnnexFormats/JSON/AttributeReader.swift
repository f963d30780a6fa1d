package import AnnexCore

/// Reads attributes: each line is a JSON object with the item's `id`. The line is the item's attributes, `id` included.
package final class AttributeReader {
    private let stream: ByteStream
    private let skipBadRows: Bool
    private var row = 0
    /// Lists lines that were left out so far.
    package private(set) var rejects: [RejectedRow] = []

    package init(path: String, skipBadRows: Bool = false) throws(AnnexError) {
        self.stream = try ByteStream(path: path)
        self.skipBadRows = skipBadRows
        try self.stream.beginText()
    }

    /// Returns the next item; nil at the end. A line that is none is an error, or left out where bad rows are skipped.
    /// `row` counts from 1; `json` is the line without blanks at its ends.
    package func next() throws(AnnexError) -> (row: Int, identifier: Identifier, json: [UInt8])? {
        while let line = try self.stream.line() {
            self.row += 1
            let text = Array(TextNumbers.trimmed(line[...]))
            if text.isEmpty { continue }
            let problem: String
            switch Self.identifier(of: text) {
            case .success(let identifier): return (self.row, identifier, text)
            case .failure(let found): problem = found.reason
            }
            guard self.skipBadRows else {
                throw AnnexError(
                    .badInput,
                    problem,
                    at: "\(self.stream.path):\(self.row)",
                    hint: "Each line is one JSON object with an \"id\". Mend it, or give --skip-bad-rows"
                )
            }
            self.rejects.append(RejectedRow(row: self.row, column: nil, reason: problem))
        }
        return nil
    }

    private static func identifier(of line: [UInt8]) -> Result<Identifier, JSONObject.Problem> {
        do throws(JSONObject.Problem) {
            let object = try JSONObject(line)
            if let offset = object.notFinite {
                return .failure(.init(reason: "the line is no JSON object: wrong at byte \(offset + 1)"))
            }
            guard let id = try object.value("id"), let bytes = try object.identifier(id) else {
                return .failure(.init(reason: "there is no 'id' that is text or a whole number that is written out"))
            }
            guard let identifier = Identifier(bytes) else {
                return .failure(.init(reason: IdentifierCheck.problem(bytes, isEscaped: true) ?? "the id is not valid"))
            }
            return .success(identifier)
        } catch {
            return .failure(error)
        }
    }
}
