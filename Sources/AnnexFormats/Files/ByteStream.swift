import AnnexCore
import CZlib

/// Reads the bytes of a file from front to back, unpacked where the name ends in `.gz`, or a part of a file, perhaps
/// deflated (a member of a `.npz`). Holds about 1 MiB at most, and a line or piece that is longer.
final class ByteStream {
    private enum Packing { case none, gzip, deflate }

    var path: String { self.file.path }
    private let file: InputFile
    private let start: Int
    private let packing: Packing
    private let inflater: Inflater?
    /// The next packed byte lies at this offset in the file.
    private var packedOffset: Int
    /// So many packed bytes may still be read, for a member of an archive.
    private var packedLeft: Int
    private var packed = [UInt8]()
    private var buffer = [UInt8]()
    private var position = 0
    private var ended = false
    /// Holds the checksum that all bytes of an archive's member must have, and that of the bytes so far.
    private let expectedCRC: UInt?
    private var crc: UInt = 0
    /// Counts the bytes handed out so far.
    private(set) var offset = 0

    private static let chunk = 256 << 10

    /// - Parameter byContent: whether a file is gzipped where it begins like that, whatever its name is. Else both have to
    ///   agree: no format that is read begins like gzip.
    init(path: String, byContent: Bool = false) throws(AnnexError) {
        let file = try InputFile(path: path)
        var mark: [UInt8] = [0, 0]
        let isGzipped = try file.read(2, at: 0, into: &mark) == 2 && mark == [0x1f, 0x8b]
        guard byContent || isGzipped == FileEnding(path).isGzipped else {
            throw AnnexError(
                .badInput,
                isGzipped ? "is gzipped, and its name does not end in .gz" : "ends in .gz, and is not gzipped",
                at: path,
                hint: "Rename it"
            )
        }
        self.file = file
        self.packing = isGzipped ? .gzip : .none
        self.start = 0
        self.packedOffset = 0
        self.packedLeft = Int.max
        self.expectedCRC = nil
        self.inflater = isGzipped ? try Inflater(windowBits: 15 + 32, path: path) : nil
    }

    /// Returns the share of the file's packed bytes that was read so far, for a bar of progress.
    func fractionRead() throws(AnnexError) -> Double {
        let size = try self.file.size()
        return size > 0 ? min(Double(self.packedOffset) / Double(size), 1) : 1
    }

    /// Reads a part of a file, such as a member of an archive.
    init(_ file: InputFile, at start: Int, packedBytes: Int, deflated: Bool, crc: UInt) throws(AnnexError) {
        self.file = file
        self.packing = deflated ? .deflate : .none
        self.start = start
        self.packedOffset = start
        self.packedLeft = packedBytes
        self.expectedCRC = crc
        self.inflater = deflated ? try Inflater(windowBits: -15, path: file.path) : nil
    }

    private func readPacked() throws(AnnexError) -> Int {
        let wanted = min(Self.chunk, self.packedLeft)
        guard wanted > 0 else { return 0 }
        if self.packed.isEmpty { self.packed = [UInt8](repeating: 0, count: Self.chunk) }
        let count = try self.file.read(wanted, at: self.packedOffset, into: &self.packed)
        self.packedLeft -= count
        self.packedOffset += count
        return count
    }

    /// Reads more bytes into `buffer`. Returns false at the end.
    private func fill() throws(AnnexError) -> Bool {
        if self.position > 0 {
            self.buffer.removeFirst(self.position)
            self.position = 0
        }
        let before = self.buffer.count
        while !self.ended {
            if let inflater = self.inflater {
                // First what is still due of the input before: zlib may have taken all of it and not yet given all.
                if try inflater.inflate(into: &self.buffer, path: self.path) { break }
                guard inflater.needsInput else { continue }
                let count = try self.readPacked()
                guard count > 0 || inflater.isAtEnd else {
                    throw AnnexError(
                        .badInput,
                        "the compressed data ends too early",
                        at: self.path,
                        hint: "It was cut; copy it again"
                    )
                }
                if count == 0 { return try self.end() }
                inflater.give(self.packed[..<count])
            } else {
                let count = try self.readPacked()
                if count == 0 { return try self.end() }
                self.buffer.append(contentsOf: self.packed[..<count])
                break
            }
        }
        guard !self.ended else { return false }
        self.checksum(from: before)
        return true
    }

    private func end() throws(AnnexError) -> Bool {
        self.ended = true
        if let expectedCRC, expectedCRC != self.crc {
            throw AnnexError(
                .badInput,
                "the data is not what its CRC-32 says",
                at: self.path,
                hint: "The file is damaged; copy it again"
            )
        }
        return false
    }

    private func checksum(from start: Int) {
        guard self.expectedCRC != nil else { return }
        // `start` is a place in the buffer, and what lies behind it is its to read.
        unsafe self.buffer.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            self.crc = unsafe crc32_z(self.crc, base + start, bytes.count - start)
        }
    }

    private var available: Int { self.buffer.count - self.position }

    /// Tells whether nothing is left.
    func isAtEnd() throws(AnnexError) -> Bool {
        if self.available > 0 { return false }
        return try !self.fill()
    }

    /// Returns up to `count` of the bytes that come next, which stay. `count` is small.
    func peek(_ count: Int) throws(AnnexError) -> [UInt8] {
        while self.available < count { guard try self.fill() else { break } }
        return Array(self.buffer[self.position...].prefix(count))
    }

    /// Lends exactly `count` bytes (at most some MiB); nil where fewer are left.
    func take<R>(_ count: Int, _ body: (Span<UInt8>) -> R) throws(AnnexError) -> R? {
        while self.available < count { guard try self.fill() else { return nil } }
        let result = body(self.buffer.span.extracting(self.position..<self.position + count))
        self.position += count
        self.offset += count
        return result
    }

    /// Returns the next `count` bytes; nil where fewer are left.
    func bytes(_ count: Int) throws(AnnexError) -> [UInt8]? {
        while self.available < count { guard try self.fill() else { return nil } }
        let result = Array(self.buffer[self.position..<self.position + count])
        self.position += count
        self.offset += count
        return result
    }

    /// Returns the bytes up to a delimiter, which is taken and not returned; nil at the end of the file. The last piece
    /// needs no delimiter.
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
                throw AnnexError(
                    .badInput,
                    "a line is longer than \(limit) bytes (at byte \(self.offset))",
                    at: self.path,
                    hint: "Check that the file is what its name says, and that its lines end in LF or CR LF"
                )
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

    /// Returns a line without its end (LF or CR LF); nil at the end of the file.
    func line() throws(AnnexError) -> [UInt8]? {
        guard var line = try self.take(upTo: 0x0a) else { return nil }
        if line.last == 0x0d { line.removeLast() }
        return line
    }

    /// Returns the rest of the stream, which must be `count` bytes, as part of a file that can be read anywhere: the
    /// file itself, or where it is packed a copy. Nothing can be taken afterwards.
    func randomAccess(_ count: Int) throws(AnnexError) -> (file: InputFile, offset: Int) {
        guard self.packing == .none else {
            let copy = try InputFile(spooling: self, bytes: count)
            try self.checkEnd()
            return (copy, 0)
        }
        let begin = self.start + self.offset
        if self.expectedCRC == nil {
            let left = try self.file.size() - begin
            guard left >= count else { throw InputFile.cut(self.path) }
            guard left == count else { throw self.bytesLeft() }
        } else {
            // A member of an archive is read once from front to back for its checksum.
            while self.offset - (begin - self.start) < count {
                let piece = min(Self.chunk, count - (self.offset - (begin - self.start)))
                guard try self.take(piece, { _ in true }) != nil else { throw InputFile.cut(self.path) }
            }
            try self.checkEnd()
        }
        return (self.file, begin)
    }

    /// - Throws: `.badInput` where something is left.
    func checkEnd() throws(AnnexError) { guard try self.isAtEnd() else { throw self.bytesLeft() } }

    private func bytesLeft() -> AnnexError {
        AnnexError(
            .badInput,
            "bytes are left behind the array",
            at: self.path,
            hint: "Save it again, with one array a file"
        )
    }
}
