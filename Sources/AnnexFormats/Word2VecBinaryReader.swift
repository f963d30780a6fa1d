import AnnexCore

/// word2vec's binary format: a line `rows dimension`, then each row as word, blank, float32 × dimension, perhaps a line
/// end.
final class Word2VecBinaryReader: FactorReader {
    let dimension: Int
    let rowCount: Int?
    let carriesIdentifiers = true
    var rejects: [RejectedRow] { self.gate.rejects }
    private(set) var rowsRead = 0

    private let stream: ByteStream
    private let rows: Int
    private var gate: RowGate

    init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        let head = try stream.take(upTo: 0x0a, limit: 4_096) ?? []
        let numbers = TextNumbers.trimmed(head[...]).split(separator: 0x20).prefix(3).map {
            Int(String(decoding: $0, as: UTF8.self))
        }
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
        guard self.rowsRead < self.rows else {
            while let byte = try self.stream.bytes(1) {
                guard byte == [0x0a] else {
                    throw AnnexError(.badInput, "bytes are left behind \(self.rows) rows", at: self.stream.path)
                }
            }
            return false
        }
        for _ in 0..<min(RowBlock.rows(of: self.dimension), self.rows - self.rowsRead) {
            guard let piece = try self.stream.take(upTo: 0x20, limit: 4_096) else { throw self.cut() }
            let word = Array(piece.drop { $0 == 0x0a })
            let taken: Void? = try self.stream.take(self.dimension * 4) {
                FloatDecoder.float32.append($0, to: &block.values)
            }
            guard taken != nil else { throw self.cut() }
            if let problem = IdentifierFile.check(word) {
                block.values.removeLast(self.dimension)
                try self.gate.reject(row: self.rowsRead, column: nil, problem)
            } else {
                try self.gate.settle(
                    &block,
                    row: self.rowsRead,
                    dimension: self.dimension,
                    identifier: Identifier(word)
                )
            }
            self.rowsRead += 1
        }
        return true
    }

    private func cut() -> AnnexError {
        AnnexError(
            .badInput,
            "the file ends within row \(self.rowsRead + 1) of \(self.rows)",
            at: self.stream.path,
            hint: "It was cut; copy it again"
        )
    }
}
