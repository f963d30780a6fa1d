import AnnexCore

/// Reads rows of a two-dimensional `.npy` array of float16, float32 or float64, in C or Fortran order.
final class NpyReader: FactorReader {
    let dimension: Int
    let rowCount: Int?
    let carriesIdentifiers = false
    var rejects: [RejectedRow] { self.gate.rejects }
    private(set) var rowsRead = 0

    private let stream: ByteStream
    private let decoder: FloatDecoder
    private let rows: Int
    private var gate: RowGate
    /// Reads rows that do not lie one behind the other; nil where they do.
    private var columns: NpyColumns?

    init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        let header = try NpyHeader.read(stream)
        guard header.kind == UInt8(ascii: "f") else {
            throw AnnexError(
                .badInput,
                "the array has \(header.summary), and not float16, float32 or float64",
                at: stream.path,
                hint: "Convert it: array.astype('float32')"
            )
        }
        guard header.shape.count == 2 else {
            let message = "the array has \(header.shape.count) axes, factors have 2 (rows, dimension)"
            throw AnnexError(
                .badInput,
                message,
                at: stream.path,
                hint: header.shape.count == 1
                    ? "Give it a row per item: array.reshape(rows, -1); biases are given with --bias"
                    : "Save the array whose rows are the vectors"
            )
        }
        guard (1...Limits.maximumDimension).contains(header.shape[1]) else {
            throw AnnexError(
                .badInput,
                "the array has \(header.shape[1]) columns, 1 to \(Limits.maximumDimension) are possible",
                at: stream.path,
                hint: "Rows are items or users: save array.T where they stand in columns"
            )
        }
        guard header.shape[0] >= 1 else {
            throw AnnexError(
                .badInput,
                "the array has no rows",
                at: stream.path,
                hint: "An index has one item or more; leave a file without users out"
            )
        }
        self.stream = stream
        self.decoder = FloatDecoder(itemBytes: header.itemBytes, bigEndian: header.bigEndian)
        self.gate = gate
        self.rows = header.shape[0]
        self.rowCount = header.shape[0]
        self.dimension = header.shape[1]
        if header.fortranOrder {
            self.columns = try NpyColumns(stream, rows: self.rows, dimension: self.dimension, self.decoder)
        }
    }

    func next(_ block: inout RowBlock) throws(AnnexError) -> Bool {
        block.removeAll()
        guard self.rowsRead < self.rows else {
            if self.columns == nil { try self.stream.checkEnd() }
            return false
        }
        if let blockRows = self.columns?.blockRows {
            let count = min(blockRows, self.rows - self.rowsRead)
            try self.columns?.read(count, from: self.rowsRead, into: &block.values)
            try self.gate.settleAll(&block, firstRow: self.rowsRead, rows: count, dimension: self.dimension)
            self.rowsRead += count
            return true
        }
        let count = min(RowBlock.rows(of: self.dimension), self.rows - self.rowsRead)
        block.values.reserveCapacity(count * self.dimension)
        for _ in 0..<count { try self.readRow(&block) }
        return true
    }

    private func readRow(_ block: inout RowBlock) throws(AnnexError) {
        let width = self.dimension * self.decoder.itemBytes
        guard try self.stream.take(width, { self.decoder.append($0, to: &block.values) }) != nil else {
            throw AnnexError(
                .badInput,
                "the file ends within row \(self.rowsRead + 1) of \(self.rows)",
                at: self.stream.path,
                hint: "It was cut; copy it again"
            )
        }
        try self.gate.settle(&block, row: self.rowsRead, dimension: self.dimension, identifier: nil)
        self.rowsRead += 1
    }
}
