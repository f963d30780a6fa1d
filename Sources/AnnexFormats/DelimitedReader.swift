import AnnexCore

/// CSV and TSV: a row per line; fields may stand in double quotes (`""` for a quote), but not over several lines.
///
/// A first line whose last field is neither empty nor a number is a heading. The first column holds ids where its
/// heading is item, user, key or word, or ends in "id" (id, item_id, movieId), or, without a heading, where the first
/// field of the first good row is no number.
final class DelimitedReader: LineRowReader {
    private let separator: UInt8
    private var hasIdentifiers: Bool?
    private var sawFirst = false

    private static let identifierHeadings: Set<String> = ["item", "user", "key", "word"]

    init(_ stream: ByteStream, gate: RowGate, separator: UInt8) throws(AnnexError) {
        self.separator = separator
        try super.init(stream, gate: gate)
        try self.begin()
    }

    override func parse(_ line: [UInt8]) -> TextRow? {
        if line.allSatisfy({ $0 == 0x20 || ($0 == 0x09 && $0 != self.separator) }) { return nil }
        guard let fields = self.fields(line) else { return TextRow(problem: ("a quote is not closed", nil)) }
        if !self.sawFirst {
            self.sawFirst = true
            if let last = fields.last, !TextNumbers.trimmed(last).isEmpty, case .text = TextNumbers.field(last) {
                let heading = String(decoding: TextNumbers.trimmed(fields[0]), as: UTF8.self).lowercased()
                self.hasIdentifiers = Self.identifierHeadings.contains(heading) || heading.hasSuffix("id")
                return nil
            }
        }
        let withIdentifier = self.hasIdentifiers ?? self.isText(fields[0])
        let columns = withIdentifier ? 1 : 0
        var row = TextRow(identifier: withIdentifier ? Array(fields[0]) : nil, columnsBefore: columns)
        row.append(fields[columns...])
        // A row that is bad says nothing of the others.
        if self.hasIdentifiers == nil, row.ownProblem == nil { self.hasIdentifiers = withIdentifier }
        return row
    }

    private func isText(_ field: ArraySlice<UInt8>) -> Bool {
        if case .text = TextNumbers.field(field) { return true }
        return false
    }

    /// Nil where a quote is not closed.
    private func fields(_ line: [UInt8]) -> [ArraySlice<UInt8>]? {
        guard line.contains(UInt8(ascii: "\"")) else {
            return line.split(separator: self.separator, omittingEmptySubsequences: false)
        }
        var fields: [ArraySlice<UInt8>] = [[]]
        var quoted = false
        var index = 0
        while index < line.count {
            let byte = line[index]
            if byte == UInt8(ascii: "\"") {
                if quoted, index + 1 < line.count, line[index + 1] == byte {
                    fields[fields.count - 1].append(byte)
                    index += 1
                } else {
                    quoted.toggle()
                }
            } else if byte == self.separator, !quoted {
                fields.append([])
            } else {
                fields[fields.count - 1].append(byte)
            }
            index += 1
        }
        return quoted ? nil : fields
    }
}
