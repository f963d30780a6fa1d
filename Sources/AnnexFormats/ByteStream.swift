import AnnexCore
import CZlib
import Glibc

/// The bytes of a file from front to back, unpacked where the name ends in `.gz`, or a part of a file, perhaps deflated
/// (a member of a `.npz`). Holds 256 KiB or so.
final class ByteStream {
    private enum Packing { case none, gzip, deflate }

    let path: String
    private let descriptor: Int32
    private let packing: Packing
    private var inflater: Inflater?
    /// Packed bytes that may still be read; for a member of an archive.
    private var packedLeft: Int
    private var packed = [UInt8]()
    private var buffer = [UInt8]()
    private var position = 0
    private var ended = false
    /// Of a member of an archive: what all its bytes must come to, and what those so far do.
    private var expectedCRC: UInt?
    private var crc: UInt = 0
    /// Bytes handed out so far.
    private(set) var offset = 0

    private static let chunk = 256 << 10

    init(path: String) throws(AnnexError) {
        self.path = path
        self.packing = path.hasSuffix(".gz") ? .gzip : .none
        self.packedLeft = Int.max
        self.descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard self.descriptor >= 0 else {
            throw AnnexError(.badInput, "cannot open: \(String(cString: strerror(errno)))", at: path)
        }
        if self.packing == .gzip { self.inflater = try Inflater(windowBits: 15 + 32, path: path) }
    }

    /// Part of a file: a member of an archive.
    init(path: String, at start: Int, packedBytes: Int, deflated: Bool, crc: UInt) throws(AnnexError) {
        self.path = path
        self.packing = deflated ? .deflate : .none
        self.packedLeft = packedBytes
        self.expectedCRC = crc
        self.descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard self.descriptor >= 0, lseek(self.descriptor, start, SEEK_SET) == start else {
            throw AnnexError(.badInput, "cannot read: \(String(cString: strerror(errno)))", at: path)
        }
        if deflated { self.inflater = try Inflater(windowBits: -15, path: path) }
    }

    deinit { if self.descriptor >= 0 { close(self.descriptor) } }

    private func readPacked() throws(AnnexError) -> Int {
        let wanted = min(Self.chunk, self.packedLeft)
        if self.packed.count < Self.chunk { self.packed = [UInt8](repeating: 0, count: Self.chunk) }
        guard wanted > 0 else { return 0 }
        while true {
            let count = self.packed.withUnsafeMutableBytes { Glibc.read(self.descriptor, $0.baseAddress, wanted) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw AnnexError(.system, "cannot read: \(String(cString: strerror(errno)))", at: self.path)
            }
            self.packedLeft -= count
            return count
        }
    }

    /// More bytes into `buffer`; false at the end.
    private func fill() throws(AnnexError) -> Bool {
        if self.position > 0 {
            self.buffer.removeFirst(self.position)
            self.position = 0
        }
        while !self.ended {
            if let inflater = self.inflater {
                // First what is still due of the input before: zlib may have taken all of it and not yet given all.
                let before = self.buffer.count
                if try inflater.inflate(into: &self.buffer, path: self.path) {
                    self.checksum(from: before)
                    return true
                }
                guard inflater.needsInput else { continue }
                let count = try self.readPacked()
                if count == 0 {
                    guard inflater.isAtEnd else {
                        throw AnnexError(.badInput, "the compressed data ends too early", at: self.path)
                    }
                    return try self.end()
                }
                inflater.give(self.packed[..<count])
            } else {
                let count = try self.readPacked()
                if count == 0 { return try self.end() }
                let before = self.buffer.count
                self.buffer.append(contentsOf: self.packed[..<count])
                self.checksum(from: before)
                return true
            }
        }
        return false
    }

    private func end() throws(AnnexError) -> Bool {
        self.ended = true
        if let expectedCRC, expectedCRC != self.crc {
            throw AnnexError(.badInput, "the data is not what its CRC-32 says", at: self.path, hint: "The file is damaged; copy it again")
        }
        return false
    }

    private func checksum(from start: Int) {
        guard self.expectedCRC != nil else { return }
        self.buffer.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            self.crc = crc32_z(self.crc, base + start, bytes.count - start)
        }
    }

    private var available: Int { self.buffer.count - self.position }

    /// Whether nothing is left.
    func isAtEnd() throws(AnnexError) -> Bool {
        if self.available > 0 { return false }
        return try !self.fill()
    }

    /// Lends exactly `count` bytes (at most some MiB); nil where fewer are left.
    func take<R>(_ count: Int, _ body: (UnsafeRawBufferPointer) -> R) throws(AnnexError) -> R? {
        while self.available < count { guard try self.fill() else { return nil } }
        let result = self.buffer.withUnsafeBytes {
            body(UnsafeRawBufferPointer(rebasing: $0[self.position..<self.position + count]))
        }
        self.position += count
        self.offset += count
        return result
    }

    /// Bytes up to a delimiter, which is taken and not returned; nil at the end of the file. The last piece needs none.
    ///
    /// - Throws: `.badInput` where the piece is longer than `limit`.
    func take(upTo delimiter: UInt8, limit: Int = 16 << 20) throws(AnnexError) -> [UInt8]? {
        var scanned = 0
        while true {
            let found = self.buffer[(self.position + scanned)...].firstIndex(of: delimiter)
            if let found {
                let piece = Array(self.buffer[self.position..<found])
                self.offset += found + 1 - self.position
                self.position = found + 1
                return piece
            }
            scanned = self.available
            guard scanned <= limit else {
                throw AnnexError(.badInput, "a line is longer than \(limit) bytes (at byte \(self.offset))", at: self.path)
            }
            guard try self.fill() else {
                guard self.available > 0 else { return nil }
                let piece = Array(self.buffer[self.position...])
                self.offset += piece.count
                self.position = self.buffer.count
                return piece
            }
        }
    }

    /// A line without its end (LF or CR LF); nil at the end of the file.
    func line() throws(AnnexError) -> [UInt8]? {
        guard var line = try self.take(upTo: 0x0a) else { return nil }
        if line.last == 0x0d { line.removeLast() }
        return line
    }
}

/// zlib's inflate, for gzip (several members one behind the other too) and raw deflate.
private final class Inflater {
    private var stream = z_stream()
    private var input: [UInt8] = []
    private var used = 0
    private(set) var isAtEnd = false
    private let isGzip: Bool

    init(windowBits: Int32, path: String) throws(AnnexError) {
        self.isGzip = windowBits > 0
        guard CZlib_inflateInit2(&self.stream, windowBits) == Z_OK else {
            throw AnnexError(.system, "zlib cannot start", at: path)
        }
    }

    deinit { inflateEnd(&self.stream) }

    var needsInput: Bool { self.used == self.input.count }

    func give(_ bytes: ArraySlice<UInt8>) {
        self.input = Array(bytes)
        self.used = 0
    }

    /// Appends what one step gives; false where that was nothing.
    func inflate(into output: inout [UInt8], path: String) throws(AnnexError) -> Bool {
        if self.isAtEnd {
            guard self.isGzip, self.used < self.input.count else {
                self.used = self.input.count
                return false
            }
            inflateReset(&self.stream)
            self.isAtEnd = false
        }
        let room = 256 << 10
        let before = output.count
        let available = self.input.count - self.used
        var status: Int32 = Z_OK
        var produced = 0
        output.append(contentsOf: repeatElement(0, count: room))
        self.input.withUnsafeMutableBytes { input in
            output.withUnsafeMutableBytes { output in
                self.stream.next_in = input.baseAddress?.advanced(by: self.used).assumingMemoryBound(to: UInt8.self)
                self.stream.avail_in = UInt32(available)
                self.stream.next_out = output.baseAddress?.advanced(by: before).assumingMemoryBound(to: UInt8.self)
                self.stream.avail_out = UInt32(room)
                status = CZlib.inflate(&self.stream, Z_NO_FLUSH)
                produced = room - Int(self.stream.avail_out)
            }
        }
        self.used += available - Int(self.stream.avail_in)
        output.removeLast(room - produced)
        guard status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR else {
            throw AnnexError(.badInput, "the compressed data is damaged", at: path)
        }
        self.isAtEnd = status == Z_STREAM_END
        return produced > 0
    }
}
