import AnnexCore

/// CSV and TSV: a row per line; fields may stand in double quotes (`""` for a quote), but not over several lines.
///
/// The first line is a heading where its last field is not empty and none is a number, and where its fields are the
/// numbers of columns, as pandas writes them: `0,1,2`, `id,0,1,2`. The first column holds ids where its heading is empty
/// (pandas' index), item, user, key or word, or ends in "id" (id, item_id, movieId), or, without a heading, where the
/// first field is no number in most of the first good rows.
final class DelimitedReader: LineRowReader {
    private let separator: UInt8
    private var hasIdentifiers: Bool?
    private var sawFirst = false

    private static let identifierHeadings: Set<String> = ["", "item", "user", "key", "word"]

    init(_ stream: ByteStream, gate: RowGate, separator: UInt8) throws(AnnexError) {
        self.separator = separator
        try super.init(stream, gate: gate)
        try self.begin()
    }

    override func parse(_ line: [UInt8]) -> TextRow? {
        if line.allSatisfy({ $0 == 0x20 || ($0 == 0x09 && $0 != self.separator) }) { return nil }
        guard let fields = DelimitedLine.fields(line, separator: self.separator) else {
            return TextRow(problem: ("a quote is not closed", nil))
        }
        if !self.sawFirst {
            self.sawFirst = true
            if self.isHeading(fields) { return nil }
        }
        let withIdentifier = self.hasIdentifiers ?? self.isText(fields[0])
        let columns = withIdentifier ? 1 : 0
        var row = TextRow(identifier: withIdentifier ? Array(fields[0]) : nil, columnsBefore: columns)
        row.append(fields[columns...])
        return row
    }

    override func settled() { self.hasIdentifiers = self.carriesIdentifiers }

    /// Notes what a heading says of ids.
    private func isHeading(_ fields: [ArraySlice<UInt8>]) -> Bool {
        let lastIsBlank = fields.last.map { TextNumbers.trimmed($0).isEmpty } ?? true
        let isNamed = !lastIsBlank && fields.allSatisfy { self.isText($0) }
        let name = String(decoding: TextNumbers.trimmed(fields[0]), as: UTF8.self).lowercased()
        let saysIdentifier = Self.identifierHeadings.contains(name) || name.hasSuffix("id")
        if isNamed || (saysIdentifier && Self.isNumbering(fields.dropFirst())) {
            self.hasIdentifiers = saysIdentifier
            return true
        }
        guard Self.isNumbering(fields[...]) else { return false }
        self.hasIdentifiers = false
        return true
    }

    /// Whether these are 0, 1, 2 and so on: at least three, so that a row of two is not taken for it.
    private static func isNumbering(_ fields: ArraySlice<ArraySlice<UInt8>>) -> Bool {
        fields.count >= 3
            && zip(0..., fields).allSatisfy { number, field in
                TextNumbers.trimmed(field).elementsEqual(String(number).utf8)
            }
    }

    private func isText(_ field: ArraySlice<UInt8>) -> Bool {
        if case .text = TextNumbers.field(field) { return true }
        return false
    }
}
