import AnnexCore

/// Reads an array in Fortran order as rows: for a block of rows it takes a piece of each column, by `pread`.
///
/// Holds 16 pieces at a time. With the block that is handed out that is an eighth of the array, at least 4 and at most 32 MiB.
struct NpyColumns {
    private let file: InputFile
    private let offset: Int
    private let rows: Int
    private let dimension: Int
    private let decoder: FloatDecoder
    private let path: String
    private var strips: [UInt8] = []

    /// So many columns are turned together: 16 floats are a cache line of a row.
    private static let tile = 16

    init(_ stream: ByteStream, rows: Int, dimension: Int, _ decoder: FloatDecoder) throws(AnnexError) {
        // The product fits: rows < 2³¹, dimension ≤ 2¹², item ≤ 2³ bytes.
        (self.file, self.offset) = try stream.randomAccess(rows * dimension * decoder.itemBytes)
        (self.rows, self.dimension, self.decoder, self.path) = (rows, dimension, decoder, stream.path)
    }

    /// Says how many rows a block has.
    var blockRows: Int {
        let budget = min(max(self.rows * self.dimension * 4 / 8, 4 << 20), 32 << 20)
        return max(1, budget / (self.dimension * 4 + min(Self.tile, self.dimension) * self.decoder.itemBytes))
    }

    /// Reads `count` rows from `row` on, in place of what `values` holds.
    mutating func read(_ count: Int, from row: Int, into values: inout [Float]) throws(AnnexError) {
        values.removeAll(keepingCapacity: true)
        values.append(contentsOf: repeatElement(0, count: count * self.dimension))
        let piece = count * self.decoder.itemBytes
        let wanted = piece * min(Self.tile, self.dimension)
        if self.strips.count < wanted { self.strips = [UInt8](repeating: 0, count: wanted) }
        for first in stride(from: 0, to: self.dimension, by: Self.tile) {
            let columns = min(Self.tile, self.dimension - first)
            for column in 0..<columns {
                let start = self.offset + ((first + column) * self.rows + row) * self.decoder.itemBytes
                guard try self.file.read(piece, at: start, into: &self.strips, from: column * piece) == piece else {
                    throw InputFile.cut(self.path)
                }
            }
            self.decoder.scatter(
                self.strips,
                rows: count,
                columns: columns,
                into: &values,
                first: first,
                dimension: self.dimension
            )
        }
    }
}
