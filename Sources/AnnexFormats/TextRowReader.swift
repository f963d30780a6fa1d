import AnnexCore

/// One row of a text format: its id if it has one, and its vector.
struct TextRow {
    var identifier: [UInt8]?
    var values: [Float] = []
    /// Columns of the line in front of the vector's.
    var columnsBefore = 0
    /// What is wrong, and in which column (counted from 0).
    var problem: (reason: String, column: Int?)?
}

/// What CSV, JSON lines and word2vec's text have in common: a line is a row, the first says what the others must be.
class LineRowReader: FactorReader {
    private(set) final var dimension = 0
    final let rowCount: Int? = nil
    private(set) final var carriesIdentifiers = false
    final var rejects: [RejectedRow] { self.gate.rejects }

    final let stream: ByteStream
    private final var gate: RowGate
    /// Lines read, the head of the file included: what an error's row counts.
    private(set) final var lineNumber = 0
    private final var first: (line: Int, row: TextRow)?

    init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) { (self.stream, self.gate) = (stream, gate) }

    /// Called by a subclass at the end of its `init`: the first row fixes the dimension.
    final func begin() throws(AnnexError) {
        guard let (line, row) = try self.nextRow() else { throw AnnexError(.badInput, "has no rows", at: self.stream.path) }
        if let problem = row.problem {
            throw AnnexError(.badInput, problem.reason, at: "\(self.stream.path):\(line + 1)", hint: "The first row fixes what the others must be")
        }
        guard (1...Limits.maximumDimension).contains(row.values.count) else {
            throw AnnexError(
                .badInput, "the first row has \(row.values.count) components, 1 to \(Limits.maximumDimension) are possible",
                at: "\(self.stream.path):\(line + 1)")
        }
        self.dimension = row.values.count
        self.carriesIdentifiers = row.identifier != nil
        self.first = (line, row)
    }

    /// Nil where a line is to be passed over (a blank one).
    func parse(_ line: [UInt8]) -> TextRow? { nil }

    /// What is wrong with the whole file, asked at its end.
    func problemAtEnd() -> String? { nil }

    final func readLine() throws(AnnexError) -> [UInt8]? {
        guard let line = try self.stream.line() else { return nil }
        self.lineNumber += 1
        return line
    }

    private final func nextRow() throws(AnnexError) -> (line: Int, row: TextRow)? {
        while let line = try self.readLine() {
            if let row = self.parse(line) { return (self.lineNumber - 1, row) }
        }
        if let problem = self.problemAtEnd() { throw AnnexError(.badInput, problem, at: self.stream.path, hint: "The file was cut; copy it again") }
        return nil
    }

    final func next(_ block: inout RowBlock) throws(AnnexError) -> Bool {
        block.removeAll()
        var any = false
        for _ in 0..<max(1, (1 << 19) / self.dimension) {
            let found: (line: Int, row: TextRow)?
            if let first {
                found = first
                self.first = nil
            } else {
                found = try self.nextRow()
            }
            guard let (line, row) = found else { break }
            any = true
            try self.take(row, line, &block)
        }
        return any
    }

    private final func take(_ row: TextRow, _ line: Int, _ block: inout RowBlock) throws(AnnexError) {
        if let problem = row.problem { return try self.gate.reject(row: line, column: problem.column, problem.reason) }
        guard row.values.count == self.dimension else {
            return try self.gate.reject(
                row: line, column: nil, "the row has \(row.values.count) components, the first has \(self.dimension)")
        }
        guard (row.identifier != nil) == self.carriesIdentifiers else {
            return try self.gate.reject(row: line, column: nil, "some rows have an id and some have none")
        }
        var identifier: Identifier?
        if let bytes = row.identifier {
            if let problem = IdentifierFile.check(bytes) { return try self.gate.reject(row: line, column: 0, problem) }
            identifier = Identifier(bytes)
        }
        block.values.append(contentsOf: row.values)
        try self.gate.settle(&block, row: line, dimension: self.dimension, identifier: identifier,
            columnsBefore: row.columnsBefore)
    }
}
