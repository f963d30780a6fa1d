import AnnexCore
import Glibc

/// Rows of a two-dimensional `.npy` array of float16, float32 or float64, in C or Fortran order.
final class NpyReader: FactorReader {
    let dimension: Int
    let rowCount: Int?
    let carriesIdentifiers = false
    var rejects: [RejectedRow] { self.gate.rejects }

    private let stream: ByteStream
    private let header: NpyHeader
    private let rows: Int
    private var gate: RowGate
    private var row = 0
    /// The whole array in a temporary file, where its rows do not lie one behind the other.
    private var columns: ColumnFile?

    init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        let header = try NpyHeader.read(stream)
        guard header.kind == UInt8(ascii: "f") else {
            throw AnnexError(.badInput, "the array holds no float16, float32 or float64", at: stream.path, hint: "Convert it: array.astype('float32')")
        }
        guard header.shape.count == 2 else {
            throw AnnexError(.badInput, "the array has \(header.shape.count) axes, factors have 2 (rows, dimension)", at: stream.path)
        }
        guard (1...Limits.maximumDimension).contains(header.shape[1]) else {
            throw AnnexError(.badInput, "the array has \(header.shape[1]) columns, 1 to \(Limits.maximumDimension) are possible", at: stream.path)
        }
        guard header.shape[0] >= 1 else { throw AnnexError(.badInput, "the array has no rows", at: stream.path) }
        self.stream = stream
        self.header = header
        self.gate = gate
        self.rows = header.shape[0]
        self.rowCount = header.shape[0]
        self.dimension = header.shape[1]
        if header.fortranOrder {
            self.columns = try ColumnFile(stream, bytes: self.rows * self.dimension * header.itemBytes)
            try self.checkEnd()
        }
    }

    private func checkEnd() throws(AnnexError) {
        guard try self.stream.isAtEnd() else {
            throw AnnexError(.badInput, "bytes are left behind \(self.rows) rows of \(self.dimension)", at: self.stream.path)
        }
    }

    func next(_ block: inout RowBlock) throws(AnnexError) -> Bool {
        block.removeAll()
        guard self.row < self.rows else {
            if self.columns == nil { try self.checkEnd() }
            return false
        }
        let count = min(max(1, (1 << 20) / self.dimension), self.rows - self.row)
        for _ in 0..<count {
            if let columns = self.columns {
                columns.appendRow(self.row, of: self.rows, self.dimension, self.header, to: &block.values)
            } else {
                let width = self.dimension * self.header.itemBytes
                let taken: Void? = try self.stream.take(width) { bytes in
                    Self.append(bytes, self.header, to: &block.values)
                }
                guard taken != nil else {
                    throw AnnexError(
                        .badInput, "the file ends within row \(self.row + 1) of \(self.rows)", at: self.stream.path,
                        hint: "It was cut; copy it again")
                }
            }
            try self.gate.settle(&block, row: self.row, dimension: self.dimension, identifier: nil)
            self.row += 1
        }
        return true
    }

    static func append(_ bytes: UnsafeRawBufferPointer, _ header: NpyHeader, to values: inout [Float]) {
        for offset in stride(from: 0, to: bytes.count, by: header.itemBytes) {
            values.append(Self.value(bytes, offset, header))
        }
    }

    static func value(_ bytes: UnsafeRawBufferPointer, _ offset: Int, _ header: NpyHeader) -> Float {
        func bits<T: FixedWidthInteger>(_ type: T.Type) -> T {
            let raw = bytes.loadUnaligned(fromByteOffset: offset, as: T.self)
            return header.bigEndian ? T(bigEndian: raw) : T(littleEndian: raw)
        }
        switch header.itemBytes {
        case 2: return Self.half(bits(UInt16.self))
        case 4: return Float(bitPattern: bits(UInt32.self))
        default: return Float(Double(bitPattern: bits(UInt64.self)))
        }
    }

    /// IEEE 754 binary16. Exact.
    private static func half(_ bits: UInt16) -> Float {
        let sign: Float = bits & 0x8000 == 0 ? 1 : -1
        let exponent = Int(bits >> 10 & 0x1f)
        let fraction = Float(bits & 0x3ff)
        switch exponent {
        case 0: return sign * fraction * 0x1p-24
        case 31: return fraction == 0 ? sign * .infinity : .nan
        default: return sign * Float(sign: .plus, exponent: exponent - 25, significand: 1024 + fraction)
        }
    }
}

/// A temporary file without a name, mapped: memory that the system may take back.
final class ColumnFile {
    private let base: UnsafeMutableRawPointer
    private let bytes: Int

    init(_ stream: ByteStream, bytes: Int) throws(AnnexError) {
        var template = Array("/tmp/annex-XXXXXX".utf8CString)
        let descriptor = template.withUnsafeMutableBufferPointer { mkstemp($0.baseAddress!) }
        guard descriptor >= 0 else { throw AnnexError(.system, "cannot make a temporary file", at: "/tmp") }
        defer { close(descriptor) }
        template.withUnsafeBufferPointer { _ = unlink($0.baseAddress!) }
        guard ftruncate(descriptor, bytes) == 0,
            let mapping = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), mapping != MAP_FAILED
        else { throw AnnexError(.system, "cannot hold \(bytes) bytes in a temporary file", at: "/tmp") }
        self.base = mapping
        self.bytes = bytes
        var done = 0
        while done < bytes {
            let count = min(1 << 20, bytes - done)
            let target = mapping + done
            guard try stream.take(count, { target.copyMemory(from: $0.baseAddress!, byteCount: count) }) != nil else {
                throw AnnexError(.badInput, "the file ends within the array", at: stream.path, hint: "It was cut; copy it again")
            }
            done += count
        }
    }

    deinit { munmap(self.base, self.bytes) }

    func appendRow(_ row: Int, of rows: Int, _ dimension: Int, _ header: NpyHeader, to values: inout [Float]) {
        let all = UnsafeRawBufferPointer(start: self.base, count: self.bytes)
        for column in 0..<dimension { values.append(NpyReader.value(all, (column * rows + row) * header.itemBytes, header)) }
    }
}
