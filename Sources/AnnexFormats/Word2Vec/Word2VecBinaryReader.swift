import AnnexCore

/// Reads word2vec's binary format: a line `rows dimension`, then each row as word, blank, float32 × dimension, and a
/// line end behind every row (word2vec, old gensim) or behind none (gensim).
///
/// Nothing says where a row begins, so a blank in a word puts the reader out of step, and what it reads from there on are
/// numbers all the same. It stops where a word seems to go on behind its blank, where a row does not end as the first one
/// does, and where what stands behind a row cannot be a word. Such a row is never skipped: the next one cannot be found.
final class Word2VecBinaryReader: FactorReader {
    let dimension: Int
    let rowCount: Int?
    let carriesIdentifiers = true
    var rejects: [RejectedRow] { self.gate.rejects }
    private(set) var rowsRead = 0

    private let stream: ByteStream
    private let rows: Int
    private var gate: RowGate
    /// Tells whether a line end stands behind each row; nil before the first one was read.
    private var hasLineEnds: Bool?
    /// Holds the word of the next row, read ahead.
    private var waitingWord: [UInt8]?
    private var hidden: HiddenWord

    private static let lineEnd: UInt8 = 0x0a
    /// Holds the room for the first line, and for a word that may be too long by itself.
    private static let headBytes = 4_096
    /// A blank is looked for in so many bytes.
    private static let longestSearch = 1 << 20

    init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        let head = try stream.take(upTo: Self.lineEnd, limit: Self.headBytes) ?? []
        let numbers = TextNumbers.trimmed(head[...]).split(separator: 0x20).prefix(3).map {
            Int(String(decoding: $0, as: UTF8.self))
        }
        guard numbers.count == 2, let rows = numbers[0], let dimension = numbers[1], rows >= 1,
            rows <= Limits.maximumItems, (1...Limits.maximumDimension).contains(dimension)
        else {
            throw AnnexError(
                .badInput,
                "the first line is not 'rows dimension' of a word2vec file",
                at: stream.path,
                hint: "Save it with gensim's save_word2vec_format(…, binary=True), or name it after its format"
            )
        }
        self.stream = stream
        self.gate = gate
        self.rows = rows
        self.rowCount = rows
        self.dimension = dimension
        self.hidden = HiddenWord(dimension: dimension)
    }

    func next(_ block: inout RowBlock) throws(AnnexError) -> Bool {
        block.removeAll()
        guard self.rowsRead < self.rows else {
            while let byte = try self.stream.bytes(1) {
                guard byte == [Self.lineEnd] else {
                    throw AnnexError(
                        .badInput,
                        "bytes are left behind \(self.rows) rows",
                        at: self.stream.path,
                        hint: "The first line must say how many rows there are"
                    )
                }
            }
            return false
        }
        for _ in 0..<min(RowBlock.rows(of: self.dimension), self.rows - self.rowsRead) { try self.readRow(&block) }
        return true
    }

    private func readRow(_ block: inout RowBlock) throws(AnnexError) {
        let word = if let waitingWord { waitingWord } else { try self.word(behind: nil) }
        try self.checkWord(word)
        let taken: Void? = try self.stream.take(self.dimension * 4) {
            FloatDecoder.float32.append($0, to: &block.values)
        }
        guard taken != nil else { throw self.cut(self.rowsRead) }
        try self.takeLineEnd()
        // The next word is read before the row is believed: it tells whether the row ended where it should.
        self.waitingWord = self.rowsRead + 1 < self.rows ? try self.word(behind: self.rowsRead) : nil
        if let problem = IdentifierCheck.problem(word) {
            block.values.removeLast(self.dimension)
            try self.gate.reject(row: self.rowsRead, RowProblem(problem))
        } else {
            try self.gate.settle(
                &block,
                row: self.rowsRead,
                dimension: self.dimension,
                identifier: Identifier(word)
            )
            if self.hasLineEnds == false { self.hidden.note(block.values.suffix(self.dimension)) }
        }
        self.rowsRead += 1
    }

    /// Stops where the row's word seems to go on. Where rows have line ends, those tell it.
    private func checkWord(_ word: [UInt8]) throws(AnnexError) {
        guard self.hasLineEnds != true, HiddenWord.isPossible(try self.stream.peek(HiddenWord.reach)),
            let text = self.hidden.text(try self.stream.peek(self.dimension * 4 + HiddenWord.reach))
        else { return }
        let whole = Printable.escape(word + [0x20] + text, limit: 60)
        throw self.outOfStep("has the word '\(whole)', with a blank", row: self.rowsRead)
    }

    /// Returns the word that comes next. One that cannot be a word says that the row in front of it was not read as it
    /// was meant. Behind a line end a word may be bad by itself: too long, or with other bytes than UTF-8 has.
    private func word(behind row: Int?) throws(AnnexError) -> [UInt8] {
        guard let word = try self.stream.take(upTo: 0x20, limit: Self.longestSearch) else {
            throw self.cut(row.map { $0 + 1 } ?? 0)
        }
        let hasControls = word.contains { $0 < 0x20 || $0 == 0x7f }
        let isBad = self.hasLineEnds == false && IdentifierCheck.problem(word) != nil
        guard hasControls || isBad || word.count > Self.headBytes else { return word }
        let shown = Printable.escape(word, limit: 24)
        guard let row else { throw self.outOfStep("begins with '\(shown)', which is no word", row: 0) }
        throw self.outOfStep("is followed by '\(shown)', which is no word", row: row)
    }

    /// Passes over the line end behind a row. The first row says whether there is one; behind the last it may be missing.
    private func takeLineEnd() throws(AnnexError) {
        let next = try self.stream.peek(1).first
        let isThere = next == Self.lineEnd
        if isThere { _ = try self.stream.bytes(1) }
        guard let expected = self.hasLineEnds else { return self.hasLineEnds = isThere }
        if expected, !isThere, next != nil {
            throw self.outOfStep("has no line end behind it, the first row has", row: self.rowsRead)
        }
        // Where rows have no line ends, one can only stand at the end of the file.
        if !expected, isThere, self.rowsRead < self.rows - 1 {
            throw self.outOfStep("has a line end behind it, the first row has none", row: self.rowsRead)
        }
    }

    private func outOfStep(_ what: String, row: Int) -> AnnexError {
        AnnexError(
            .badInput,
            "row \(row + 1) \(what): the reader is out of step from there on",
            at: "\(self.stream.path):\(row + 1)",
            hint:
                "Words of this format hold no blanks: write _ in their place before saving; or the file is damaged, copy it again"
        )
    }

    private func cut(_ row: Int) -> AnnexError {
        AnnexError(
            .badInput,
            "the file ends within row \(row + 1) of \(self.rows)",
            at: self.stream.path,
            hint: "It was cut; copy it again"
        )
    }
}
