import AnnexCore

/// word2vec's and gensim's text format: a line `rows dimension`, then `word value value …`. GloVe's files, which lack
/// the first line, are read too.
final class Word2VecTextReader: LineRowReader {
    private var sawFirst = false
    /// What the first line says, where there is one.
    private var declared: (rows: Int, dimension: Int)?
    private var rows = 0

    override init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        try super.init(stream, gate: gate)
        try self.begin()
    }

    override func parse(_ line: [UInt8]) -> TextRow? {
        let fields = TextNumbers.trimmed(line[...]).split { $0 == 0x20 || $0 == 0x09 }
        if fields.isEmpty { return nil }
        if !self.sawFirst {
            self.sawFirst = true
            let numbers = fields.map { Int(String(decoding: $0, as: UTF8.self)) }
            if numbers.count == 2, let rows = numbers[0], let dimension = numbers[1] {
                self.declared = (rows, dimension)
                return nil
            }
        }
        self.rows += 1
        var row = TextRow(identifier: Array(fields[0]), columnsBefore: 1)
        if let declared, fields.count - 1 != declared.dimension {
            row.problem = ("the row has \(fields.count - 1) components, the first line says \(declared.dimension)", nil)
            return row
        }
        for (column, field) in fields.enumerated().dropFirst() {
            guard let value = TextNumbers.float(field) else {
                row.problem = ("'\(Printable.escape(field, limit: 40))' is no number", column)
                return row
            }
            row.values.append(value)
        }
        return row
    }

    override func problemAtEnd() -> String? {
        guard let declared, declared.rows != self.rows else { return nil }
        return "has \(self.rows) rows, the first line says \(declared.rows)"
    }
}

/// word2vec's binary format: a line `rows dimension`, then each row as word, blank, float32 × dimension, perhaps a line
/// end.
final class Word2VecBinaryReader: FactorReader {
    let dimension: Int
    let rowCount: Int?
    let carriesIdentifiers = true
    var rejects: [RejectedRow] { self.gate.rejects }

    private let stream: ByteStream
    private let rows: Int
    private var gate: RowGate
    private var row = 0

    init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        let numbers = (try stream.line() ?? []).split(separator: 0x20).map { Int(String(decoding: $0, as: UTF8.self)) }
        guard numbers.count == 2, let rows = numbers[0], let dimension = numbers[1], rows >= 1,
            rows <= Limits.maximumItems, (1...Limits.maximumDimension).contains(dimension)
        else {
            throw AnnexError(.badInput, "the first line is not 'rows dimension' of a word2vec file", at: stream.path)
        }
        self.stream = stream
        self.gate = gate
        self.rows = rows
        self.rowCount = rows
        self.dimension = dimension
    }

    func next(_ block: inout RowBlock) throws(AnnexError) -> Bool {
        block.removeAll()
        guard self.row < self.rows else {
            while try self.stream.isAtEnd() == false {
                guard try self.stream.take(1, { $0[0] }) == 0x0a else {
                    throw AnnexError(.badInput, "bytes are left behind \(self.rows) rows", at: self.stream.path)
                }
            }
            return false
        }
        for _ in 0..<min(max(1, (1 << 20) / self.dimension), self.rows - self.row) {
            guard var word = try self.stream.take(upTo: 0x20, limit: 4_096) else { throw self.cut() }
            while word.first == 0x0a { word.removeFirst() }
            let taken: Void? = try self.stream.take(self.dimension * 4) { bytes in
                for offset in stride(from: 0, to: bytes.count, by: 4) {
                    let bits = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                    block.values.append(Float(bitPattern: UInt32(littleEndian: bits)))
                }
            }
            guard taken != nil else { throw self.cut() }
            if let problem = IdentifierFile.check(word) {
                block.values.removeLast(self.dimension)
                try self.gate.reject(row: self.row, column: nil, problem)
            } else {
                try self.gate.settle(&block, row: self.row, dimension: self.dimension, identifier: Identifier(word))
            }
            self.row += 1
        }
        return true
    }

    private func cut() -> AnnexError {
        AnnexError(.badInput, "the file ends within row \(self.row + 1) of \(self.rows)", at: self.stream.path, hint: "It was cut; copy it again")
    }
}
