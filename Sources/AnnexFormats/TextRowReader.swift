import AnnexCore

/// One row of a text format: its id if it has one, and its vector.
struct TextRow {
    var identifier: [UInt8]?
    var values: [Float] = []
    /// Columns of the line in front of the vector's.
    var columnsBefore = 0
    /// What is wrong, and in which column (counted from 0).
    var problem: (reason: String, column: Int?)?

    /// Reads fields into `values`, or says which is no number.
    mutating func append(_ fields: ArraySlice<ArraySlice<UInt8>>) {
        self.values.reserveCapacity(fields.count)
        for column in fields.indices {
            switch TextNumbers.float(fields[column]) {
            case .success(let value): self.values.append(value)
            case .failure(let problem):
                self.problem = (problem.reason, column)
                return
            }
        }
    }

    /// What is wrong with the row as such, whatever the others are.
    var ownProblem: (reason: String, column: Int?)? {
        if let problem { return problem }
        guard (1...Limits.maximumDimension).contains(self.values.count) else {
            let reason = "the row has \(self.values.count) components, 1 to \(Limits.maximumDimension) are possible"
            return (reason, nil)
        }
        if let reason = self.identifier.flatMap({ IdentifierFile.check($0) }) { return (reason, 0) }
        guard let (column, reason) = RowGate.problem(self.values[...]) else { return nil }
        return (reason, self.columnsBefore + column)
    }
}

/// What CSV, JSON lines and word2vec's text have in common: a line is a row, the first good one says what the others
/// must be.
class LineRowReader: FactorReader {
    private(set) final var dimension = 0
    final let rowCount: Int? = nil
    private(set) final var carriesIdentifiers = false
    private(set) final var rowsRead = 0
    final var rejects: [RejectedRow] { self.gate.rejects }

    final let stream: ByteStream
    private final var gate: RowGate
    /// Lines read, headings and blank ones included: what an error's row counts.
    private final var lineNumber = 0
    /// The first good row, until it is handed out.
    private final var first: (line: Int, number: Int, row: TextRow)?

    init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        (self.stream, self.gate) = (stream, gate)
        try stream.beginText()
    }

    /// Called by a subclass at the end of its `init`: the first good row says the dimension, and whether there are ids.
    final func begin() throws(AnnexError) {
        while let (line, number, row) = try self.nextRow() {
            if let problem = row.ownProblem {
                try self.gate.reject(row: line, column: problem.column, problem.reason)
                continue
            }
            self.dimension = row.values.count
            self.carriesIdentifiers = row.identifier != nil
            self.first = (line, number, row)
            return
        }
        guard let reject = self.gate.rejects.first else {
            throw AnnexError(.badInput, "has no rows", at: self.stream.path)
        }
        throw AnnexError(
            .badInput,
            "none of \(self.rowsRead) rows can be used; row \(reject.row): \(reject.reason)",
            at: self.stream.path
        )
    }

    /// Nil where a line is no row (a blank one, a heading).
    func parse(_ line: [UInt8]) -> TextRow? { nil }

    /// What is wrong with the whole file, asked at its end.
    func problemAtEnd() -> String? { nil }

    private final func nextRow() throws(AnnexError) -> (line: Int, number: Int, row: TextRow)? {
        while let line = try self.stream.line() {
            self.lineNumber += 1
            guard let row = self.parse(line) else { continue }
            self.rowsRead += 1
            return (self.lineNumber - 1, self.rowsRead - 1, row)
        }
        if let problem = self.problemAtEnd() {
            throw AnnexError(.badInput, problem, at: self.stream.path, hint: "The file was cut; copy it again")
        }
        return nil
    }

    final func next(_ block: inout RowBlock) throws(AnnexError) -> Bool {
        block.removeAll()
        var any = false
        for _ in 0..<RowBlock.rows(of: self.dimension) {
            let found: (line: Int, number: Int, row: TextRow)?
            if let first {
                found = first
                self.first = nil
            } else {
                found = try self.nextRow()
            }
            guard let (line, number, row) = found else { break }
            any = true
            if let problem = self.problem(row) {
                try self.gate.reject(row: line, column: problem.column, problem.reason)
                continue
            }
            block.values.append(contentsOf: row.values)
            if let identifier = row.identifier.flatMap({ Identifier($0) }) { block.identifiers.append(identifier) }
            block.rowNumbers.append(number)
            block.places.append(line)
            block.count += 1
        }
        return any
    }

    private final func problem(_ row: TextRow) -> (reason: String, column: Int?)? {
        if let problem = row.problem { return problem }
        guard row.values.count == self.dimension else {
            let what = self.gate.rejects.isEmpty ? "the first has" : "the first good one has"
            return ("the row has \(row.values.count) components, \(what) \(self.dimension)", nil)
        }
        guard (row.identifier != nil) == self.carriesIdentifiers else {
            return ("some rows have an id and some have none", nil)
        }
        return row.ownProblem
    }
}

extension ByteStream {
    /// Passes over UTF-8's byte order mark.
    ///
    /// - Throws: `.badInput` for UTF-16 and UTF-32, by their marks or by zeros among the first characters.
    func beginText() throws(AnnexError) {
        let head = try self.peek(4)
        if head.starts(with: [0xef, 0xbb, 0xbf]) {
            _ = try self.bytes(3)
            return
        }
        let zeros = head.map { $0 == 0 }
        let name: String
        if head == [0xff, 0xfe, 0, 0] || head == [0, 0, 0xfe, 0xff] {
            name = "UTF-32"
        } else if head.starts(with: [0xff, 0xfe]) || head.starts(with: [0xfe, 0xff])
            || zeros == [false, true, false, true] || zeros == [true, false, true, false]
        {
            name = "UTF-16"
        } else {
            return
        }
        throw AnnexError(
            .badInput,
            "the text is \(name), only UTF-8 is read",
            at: self.path,
            hint: "Convert it: iconv -f \(name) -t UTF-8"
        )
    }
}
