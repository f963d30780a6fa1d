import AnnexCore

/// CSV and TSV: a row per line; fields may stand in double quotes (`""` for a quote), but not over several lines.
///
/// A first line whose last field is neither empty nor a number is a heading. The first column holds ids where its
/// heading is item, user, key or word, or ends in "id" (id, item_id, movieId), or, without a heading, where the first
/// row's first field is no number.
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
        if line.isEmpty { return nil }
        let isFirst = !self.sawFirst
        let mark: [UInt8] = [0xef, 0xbb, 0xbf]
        guard let fields = self.fields(isFirst && line.starts(with: mark) ? Array(line.dropFirst(3)) : line) else { return TextRow(problem: ("a quote is not closed", nil)) }
        if !self.sawFirst {
            self.sawFirst = true
            if let last = fields.last, !TextNumbers.trimmed(last[...]).isEmpty, TextNumbers.float(last[...]) == nil {
                let heading = String(decoding: fields[0], as: UTF8.self).lowercased()
                self.hasIdentifiers = Self.identifierHeadings.contains(heading) || heading.hasSuffix("id")
                return nil
            }
        }
        let withIdentifier = self.hasIdentifiers ?? (TextNumbers.float(fields[0][...]) == nil)
        self.hasIdentifiers = withIdentifier
        var row = TextRow(identifier: withIdentifier ? fields[0] : nil, columnsBefore: withIdentifier ? 1 : 0)
        for (column, field) in fields.enumerated().dropFirst(withIdentifier ? 1 : 0) {
            guard let value = TextNumbers.float(field[...]) else {
                row.problem = ("'\(Printable.escape(field, limit: 40))' is no number", column)
                return row
            }
            row.values.append(value)
        }
        return row
    }

    private func fields(_ line: [UInt8]) -> [[UInt8]]? {
        var fields: [[UInt8]] = [[]]
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
