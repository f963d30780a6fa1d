import AnnexCore

/// word2vec's and gensim's text format: a line `rows dimension`, then `word value value …`. GloVe's files, which lack
/// the first line, are read too.
final class Word2VecTextReader: LineRowReader {
    private var sawFirst = false
    /// What the first line says, where there is one.
    private var declared: (rows: Int, dimension: Int)?

    override init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        try super.init(stream, gate: gate)
        try self.begin()
    }

    override func parse(_ line: [UInt8]) -> TextRow? {
        let fields = TextNumbers.trimmed(line[...]).split { $0 == 0x20 || $0 == 0x09 }
        if fields.isEmpty { return nil }
        if !self.sawFirst {
            self.sawFirst = true
            let numbers = fields.prefix(3).map { Int(String(decoding: $0, as: UTF8.self)) }
            if numbers.count == 2, let rows = numbers[0], let dimension = numbers[1] {
                self.declared = (rows, dimension)
                return nil
            }
        }
        var row = TextRow(identifier: Array(fields[0]), columnsBefore: 1)
        if let declared, fields.count - 1 != declared.dimension {
            row.problem = ("the row has \(fields.count - 1) components, the first line says \(declared.dimension)", nil)
            return row
        }
        row.append(fields.dropFirst())
        return row
    }

    override func problemAtEnd() -> String? {
        guard let declared, declared.rows != self.rowsRead else { return nil }
        return "has \(self.rowsRead) rows, the first line says \(declared.rows)"
    }
}
