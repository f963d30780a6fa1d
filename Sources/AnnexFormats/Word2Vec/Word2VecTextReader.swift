import AnnexCore

/// Reads word2vec's and gensim's text format: a line `rows dimension`, then `word value value …`. GloVe's files, which
/// lack the first line, are read too.
final class Word2VecTextReader: LineRowReader {
    private var sawFirst = false
    /// The counts in the first line, where there is one.
    private var declared: (rows: Int, dimension: Int)?

    private static let hint =
        "Ids of this format hold no blanks: write _ in their place before saving, or save .csv, .tsv or .jsonl"

    override init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        try super.init(stream, gate: gate)
        try self.begin()
    }

    override func parse(_ line: [UInt8]) throws(AnnexError) -> TextRow? {
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
        var row = TextRow(identifier: Array(fields[0]), identifierColumn: 0)
        if let declared, fields.count - 1 != declared.dimension {
            row.problem = Self.problem(fields, declared.dimension)
            return row
        }
        row.append(fields)
        if row.problem?.column != nil { row.problem?.hint = Self.hint }
        return row
    }

    /// Says what is wrong with a row of another length. A longer one may have a blank in its id.
    private static func problem(_ fields: [ArraySlice<UInt8>], _ dimension: Int) -> RowProblem {
        let count = fields.count - 1
        let reason = "the row has \(count) components, the first line says \(dimension)"
        guard count > dimension else { return RowProblem(reason) }
        let id = fields.prefix(fields.count - dimension).joined(separator: [0x20])
        return RowProblem(reason + ": the id seems to be '\(Printable.escape(Array(id), limit: 60))'", hint: Self.hint)
    }

    override func problemAtEnd() -> String? {
        guard let declared, declared.rows != self.rowsRead else { return nil }
        return "has \(self.rowsRead) rows, the first line says \(declared.rows)"
    }
}
