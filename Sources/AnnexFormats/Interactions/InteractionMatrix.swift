package import AnnexCore

/// Reads a sparse matrix in CSR as `scipy.sparse.save_npz` writes it, row after row. One thread uses it. It holds a
/// block of each of its arrays, some MiB.
package final class InteractionMatrix {
    package struct Entry: Sendable, Equatable {
        /// Counted from 0, within the shape.
        package var row: Int32
        package var column: Int32
        /// The weight is finite.
        package var weight: Float

        package init(row: Int32, column: Int32, weight: Float) {
            (self.row, self.column, self.weight) = (row, column, weight)
        }
    }

    package let rows: Int
    package let columns: Int
    /// Counts the stored entries.
    package let count: Int
    /// Lists entries that were left out.
    package var rejects: [RejectedRow] { self.gate.rejects }
    /// Counts entries read so far.
    package private(set) var entriesRead = 0

    private let path: String
    private var gate: RowGate
    private let pointers: NpyElements
    private let indices: NpyElements
    private let weights: NpyElements
    /// The ends of the next rows, read ahead, the next one last.
    private var ends: [Int64] = []
    private var row: Int32 = -1
    private var rowEnd = 0
    private var columnBlock: [Int64] = []
    private var weightBlock: [Float] = []

    private static let blockEntries = 1 << 16
    private static let hint =
        "Save it with scipy.sparse.save_npz(file, matrix.tocsr()): a row per user, a column per item"

    init(_ path: String, gate: RowGate) throws(AnnexError) {
        (self.path, self.gate) = (path, gate)
        let format = try Self.format(path)
        guard format == Array("csr".utf8) else {
            throw AnnexError(
                .badInput,
                "the matrix is in format '\(Printable.escape(format, limit: 16))', only csr is read",
                at: path,
                hint: Self.hint
            )
        }
        var shape: [Int64] = []
        let sizes = try NpyElements(try NpzMember.open(path, array: "shape"), name: "shape")
        guard sizes.count == 2 else { throw Self.damaged(path, "its shape has \(sizes.count) axes") }
        try sizes.integers(2, into: &shape)
        guard shape.allSatisfy({ (0...Int64(Limits.maximumItems)).contains($0) }) else {
            throw Self.damaged(path, "its shape is \(shape)")
        }
        (self.rows, self.columns) = (Int(shape[0]), Int(shape[1]))
        self.pointers = try NpyElements(try NpzMember.open(path, array: "indptr"), name: "indptr")
        self.indices = try NpyElements(try NpzMember.open(path, array: "indices"), name: "indices")
        self.weights = try NpyElements(try NpzMember.open(path, array: "data"), name: "data")
        self.count = self.indices.count
        guard self.pointers.count == self.rows + 1, self.weights.count == self.count else {
            throw Self.damaged(path, "the lengths of its arrays contradict each other")
        }
        guard try self.nextPointer() == 0 else { throw Self.damaged(path, "indptr does not begin with 0") }
    }

    /// Reads the name of the format, bytes or text.
    private static func format(_ path: String) throws(AnnexError) -> [UInt8] {
        let stream: ByteStream
        do throws(AnnexError) { stream = try NpzMember.open(path, array: "format") } catch {
            guard error.message.hasPrefix("has no array") else { throw error }
            throw AnnexError(.badInput, "is no sparse matrix: it has no array 'format'", at: path, hint: Self.hint)
        }
        let header = try NpyHeader.read(stream)
        guard header.shape.isEmpty, header.kind == UInt8(ascii: "S") || header.kind == UInt8(ascii: "U"),
            let bytes = try stream.bytes(header.itemBytes)
        else { throw Self.damaged(path, "its format is no text") }
        return IdentifierFile.text(bytes, header)
    }

    private static func damaged(_ path: String, _ why: String) -> AnnexError {
        AnnexError(.badInput, "not a sparse matrix that can be read: " + why, at: path, hint: Self.hint)
    }

    /// Returns the next entries, at most 65,536, instead of what `block` holds; false at the end.
    ///
    /// - Throws: `.badInput` for a bad file, and for a weight that is not finite (with its row, counted from 1) unless
    ///   bad rows are skipped.
    package func next(_ block: inout [Entry]) throws(AnnexError) -> Bool {
        block.removeAll(keepingCapacity: true)
        let taken = min(Self.blockEntries, self.count - self.entriesRead)
        guard taken > 0 else {
            try self.checkEnd()
            return false
        }
        try self.indices.integers(taken, into: &self.columnBlock)
        try self.weights.floats(taken, into: &self.weightBlock)
        for index in 0..<taken {
            while self.entriesRead >= self.rowEnd { try self.nextRow() }
            let column = self.columnBlock[index]
            guard (0..<Int64(self.columns)).contains(column) else {
                throw Self.damaged(self.path, "row \(self.row + 1) has an entry in column \(column) of \(self.columns)")
            }
            let weight = self.weightBlock[index]
            if weight.isFinite {
                block.append(Entry(row: self.row, column: Int32(column), weight: weight))
            } else {
                try self.reject(row: self.row, "the weight in column \(column) is not finite in float32")
            }
            self.entriesRead += 1
        }
        return true
    }

    /// Leaves an entry out, or throws: for what only the caller knows.
    ///
    /// - Parameter row: counted from 0.
    package func reject(row: Int32, _ reason: String) throws(AnnexError) {
        try self.gate.reject(row: Int(row), RowProblem(reason))
    }

    private func nextRow() throws(AnnexError) {
        guard Int(self.row) + 1 < self.rows else { throw Self.damaged(self.path, "indptr ends before the entries") }
        let end = try self.nextPointer()
        guard (Int64(self.rowEnd)...Int64(self.count)).contains(end) else {
            throw Self.damaged(self.path, "indptr is not ascending at row \(self.row + 2)")
        }
        self.row += 1
        self.rowEnd = Int(end)
    }

    private func nextPointer() throws(AnnexError) -> Int64 {
        if self.ends.isEmpty {
            try self.pointers.integers(
                min(Self.blockEntries, self.pointers.count - self.pointers.taken),
                into: &self.ends
            )
            self.ends.reverse()
        }
        return self.ends.popLast() ?? -1
    }

    private func checkEnd() throws(AnnexError) {
        while Int(self.row) + 1 < self.rows { try self.nextRow() }
        guard self.rowEnd == self.count else { throw Self.damaged(self.path, "indptr does not end with the entries") }
        for array in [self.pointers, self.indices, self.weights] { try array.checkEnd() }
    }
}
