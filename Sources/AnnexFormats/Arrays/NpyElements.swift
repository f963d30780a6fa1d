import AnnexCore

/// Reads the numbers of a one-dimensional `.npy` array, from front to back. One thread uses it; it holds what its
/// stream holds.
final class NpyElements {
    let count: Int
    private let stream: ByteStream
    private let header: NpyHeader
    private let shown: String
    private(set) var taken = 0

    /// - Parameter name: of the array, for messages; nil where the file has just one.
    /// - Throws: `.badInput` where the array has another number of axes or holds no numbers.
    init(_ stream: ByteStream, name: String?) throws(AnnexError) {
        self.header = try NpyHeader.read(stream)
        self.stream = stream
        self.shown = name.map { "array '\($0)'" } ?? "the array"
        let isNumber = [UInt8(ascii: "b"), UInt8(ascii: "i"), UInt8(ascii: "u"), UInt8(ascii: "f")]
            .contains(self.header.kind)
        guard self.header.shape.count == 1, isNumber else {
            throw AnnexError(
                .badInput,
                "\(self.shown) has \(self.header.summary), and is no one-dimensional array of numbers",
                at: stream.path,
                hint: isNumber ? self.header.oneAxisHint : "Convert it: array.astype('float32')"
            )
        }
        self.count = self.header.shape[0]
    }

    /// Whole numbers instead of what `values` holds; those beyond Int64 become its largest.
    ///
    /// - Parameter wanted: at most what is left; some 10⁵, as all are in memory at once.
    /// - Throws: `.badInput` where the file ends before, and where the array holds no integers.
    func integers(_ wanted: Int, into values: inout [Int64]) throws(AnnexError) {
        values.removeAll(keepingCapacity: true)
        guard self.header.kind != UInt8(ascii: "f") else {
            throw AnnexError(
                .badInput,
                "\(self.shown) holds no integers",
                at: self.stream.path,
                hint: "Save the matrix again: scipy.sparse.save_npz(file, matrix.tocsr())"
            )
        }
        try self.take(wanted) { bytes in
            for offset in stride(from: 0, to: bytes.count, by: self.header.itemBytes) {
                values.append(self.integer(bytes, offset))
            }
        }
    }

    /// Gives the numbers as float32, rounded to nearest; infinite where float32 is too small for one.
    func floats(_ wanted: Int, into values: inout [Float]) throws(AnnexError) {
        values.removeAll(keepingCapacity: true)
        let decoder =
            self.header.kind == UInt8(ascii: "f")
            ? FloatDecoder(itemBytes: self.header.itemBytes, bigEndian: self.header.bigEndian) : nil
        try self.take(wanted) { bytes in
            if let decoder { return decoder.append(bytes, to: &values) }
            for offset in stride(from: 0, to: bytes.count, by: self.header.itemBytes) {
                values.append(Float(self.integer(bytes, offset)))
            }
        }
    }

    /// - Throws: `.badInput` where bytes are left behind the array, or its checksum is wrong.
    func checkEnd() throws(AnnexError) { try self.stream.checkEnd() }

    private func take(_ wanted: Int, _ body: (Span<UInt8>) -> Void) throws(AnnexError) {
        precondition(wanted <= self.count - self.taken, "more than there is")
        guard wanted > 0 else { return }
        guard try self.stream.take(wanted * self.header.itemBytes, body) != nil else {
            throw InputFile.cut(self.stream.path)
        }
        self.taken += wanted
    }

    /// Returns the element at a byte offset, which lies within `bytes` as a whole.
    private func integer(_ bytes: Span<UInt8>, _ offset: Int) -> Int64 {
        var bits: UInt64 = 0
        for index in 0..<self.header.itemBytes {
            let byte = UInt64(bytes[offset + index])
            bits = self.header.bigEndian ? bits << 8 | byte : bits | byte << UInt64(8 * index)
        }
        guard self.header.kind == UInt8(ascii: "i") else { return Int64(clamping: bits) }
        let shift = Int64(64 - 8 * self.header.itemBytes)
        return (Int64(bitPattern: bits) << shift) >> shift
    }
}
