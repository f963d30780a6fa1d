import AnnexCore

/// Holds one row of a text format: its id if it has one, and its vector.
struct TextRow {
    var identifier: [UInt8]?
    /// Holds the column of the id, counted from 0. It is nil where the id stands in none.
    var identifierColumn: Int?
    var values: [Float] = []
    var problem: RowProblem?
    /// Tells whether a control byte in the id was written out, as JSON does.
    var isEscaped = false

    /// Reads all fields but the id's into `values`, or says which is no number.
    mutating func append(_ fields: [ArraySlice<UInt8>]) {
        self.values.reserveCapacity(fields.count)
        for column in fields.indices where column != self.identifierColumn {
            switch TextNumbers.float(fields[column]) {
            case .success(let value): self.values.append(value)
            case .failure(let problem):
                self.problem = RowProblem(problem.reason, column: column)
                return
            }
        }
    }

    /// Returns the fault of the row as such, whatever the others are.
    func ownProblem(_ gate: RowGate) -> RowProblem? {
        if let problem { return problem }
        guard (1...Limits.maximumDimension).contains(self.values.count) else {
            return RowProblem(
                "the row has \(self.values.count) components, 1 to \(Limits.maximumDimension) are possible"
            )
        }
        if let identifier, let reason = IdentifierCheck.problem(identifier, isEscaped: self.isEscaped) {
            return RowProblem(reason, column: self.identifierColumn ?? 0)
        }
        guard var problem = gate.problem(self.values[...]) else { return nil }
        if let column = problem.column, let identifierColumn, column >= identifierColumn { problem.column = column + 1 }
        return problem
    }
}

/// Reads the texts in which a line is a row: CSV, JSON lines and word2vec's text.
///
/// How many components rows have, and whether they have ids, is what most of the first 100 good rows say; of equally
/// many, those that come first. One row that was cut, wherever it stands, does not condemn all others.
class LineRowReader: FactorReader {
    private(set) final var dimension = 0
    final let rowCount: Int? = nil
    private(set) final var carriesIdentifiers = false
    private(set) final var rowsRead = 0
    final var rejects: [RejectedRow] { self.gate.rejects }

    final let stream: ByteStream
    private final var gate: RowGate
    /// Counts lines read, headings and blank ones included: what an error's row counts.
    private final var lineNumber = 0
    /// Holds rows that were read ahead, the last one first.
    private final var ahead: [Line] = []

    private struct Line {
        /// Counted from 0.
        var number: Int
        var text: [UInt8]
    }

    /// So many good rows are asked, and lines of so many bytes are held for it.
    private static let sample = (rows: 100, bytes: 1 << 20)

    init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        (self.stream, self.gate) = (stream, gate)
        try stream.beginText()
    }

    /// Called by a subclass at the end of its `init`: reads ahead until it is known what rows are.
    final func begin() throws(AnnexError) {
        var shapes = ShapeCount()
        var sample: [(text: [UInt8], dimension: Int)] = []
        var bytes = 0
        while shapes.total < Self.sample.rows, let (line, row) = try self.nextLine() {
            if row.ownProblem(self.gate) == nil {
                shapes.add(row)
                sample.append((line.text, row.values.count))
            }
            self.ahead.append(line)
            bytes += line.text.count
            guard bytes >= Self.sample.bytes else { continue }
            if shapes.total > 0 { break }
            // Rows that are all bad say nothing, and are not held.
            try self.rejectAhead()
            bytes = 0
        }
        guard let shape = shapes.most else { throw try self.noRow() }
        self.dimension = shape.dimension
        self.carriesIdentifiers = shape.hasIdentifier
        self.ahead.reverse()
        try self.settled(sample.filter { $0.dimension == shape.dimension }.map(\.text))
    }

    private final func rejectAhead() throws(AnnexError) {
        for line in self.ahead {
            self.rowsRead += 1
            guard let problem = try self.parse(line.text)?.ownProblem(self.gate) else { continue }
            try self.gate.reject(row: line.number, problem)
        }
        self.ahead.removeAll()
    }

    private final func noRow() throws(AnnexError) -> AnnexError {
        try self.rejectAhead()
        guard let reject = self.gate.rejects.first else {
            return AnnexError(
                .badInput,
                "has no rows",
                at: self.stream.path,
                hint: "An index has one item or more; leave a file without users out"
            )
        }
        let message = "none of \(self.rowsRead) rows can be used; row \(reject.row): \(reject.reason)"
        return AnnexError(
            .badInput,
            message,
            at: self.stream.path,
            hint: "Leave --skip-bad-rows out to see what to mend"
        )
    }

    /// Returns nil where a line is no row (a blank one, a heading). A row may be asked for twice.
    ///
    /// - Throws: for what is wrong with the whole file.
    func parse(_ line: [UInt8]) throws(AnnexError) -> TextRow? { nil }

    /// The shape of rows is known from here on.
    ///
    /// - Parameter sample: lines of the good rows with as many components as most, in their order.
    /// - Throws: where they leave open what the file means.
    func settled(_ sample: [[UInt8]]) throws(AnnexError) {}

    /// Returns the fault of the whole file, asked at its end.
    func problemAtEnd() -> String? { nil }

    /// Returns the next line that is a row.
    private final func nextLine() throws(AnnexError) -> (line: Line, row: TextRow)? {
        while let text = try self.stream.line() {
            self.lineNumber += 1
            if let row = try self.parse(text) { return (Line(number: self.lineNumber - 1, text: text), row) }
        }
        return nil
    }

    private final func nextRow() throws(AnnexError) -> (line: Int, row: TextRow)? {
        if let line = self.ahead.popLast(), let row = try self.parse(line.text) { return (line.number, row) }
        if let (line, row) = try self.nextLine() { return (line.number, row) }
        if let problem = self.problemAtEnd() {
            throw AnnexError(.badInput, problem, at: self.stream.path, hint: "The file was cut; copy it again")
        }
        return nil
    }

    final func next(_ block: inout RowBlock) throws(AnnexError) -> Bool {
        block.removeAll()
        let before = self.rowsRead
        for _ in 0..<RowBlock.rows(of: self.dimension) {
            guard let (line, row) = try self.nextRow() else { break }
            self.rowsRead += 1
            if let problem = self.problem(row) {
                try self.gate.reject(row: line, problem)
                continue
            }
            block.values.append(contentsOf: row.values)
            if let identifier = row.identifier.flatMap({ Identifier($0) }) { block.identifiers.append(identifier) }
            block.rowNumbers.append(self.rowsRead - 1)
            block.lines.append(line)
            block.count += 1
        }
        return self.rowsRead > before
    }

    private final func problem(_ row: TextRow) -> RowProblem? {
        if let problem = row.ownProblem(self.gate) { return problem }
        guard row.values.count == self.dimension else {
            return RowProblem("the row has \(row.values.count) components, most have \(self.dimension)")
        }
        guard (row.identifier != nil) == self.carriesIdentifiers else {
            return RowProblem("the row has \(row.identifier == nil ? "no" : "an") id, unlike most")
        }
        return nil
    }
}

/// Counts the shapes of the first good rows.
private struct ShapeCount {
    struct Shape: Equatable {
        var dimension: Int
        var hasIdentifier: Bool
    }

    private var counts: [(shape: Shape, rows: Int)] = []
    private(set) var total = 0

    mutating func add(_ row: TextRow) {
        let shape = Shape(dimension: row.values.count, hasIdentifier: row.identifier != nil)
        self.total += 1
        if let index = self.counts.firstIndex(where: { $0.shape == shape }) {
            self.counts[index].rows += 1
        } else {
            self.counts.append((shape, 1))
        }
    }

    /// It is nil where there is no row.
    var most: Shape? {
        guard let most = self.counts.map(\.rows).max() else { return nil }
        return self.counts.first { $0.rows == most }?.shape
    }
}
