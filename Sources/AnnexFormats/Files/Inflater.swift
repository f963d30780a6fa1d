import AnnexCore
import CZlib

/// Wraps zlib's inflate, for gzip (several members one behind the other too) and raw deflate.
///
/// It is safe to use: the stream's pointers are set for one call at a time, to memory that lives through it.
@safe final class Inflater {
    private var stream = unsafe z_stream()
    private var input: [UInt8] = []
    private var used = 0
    private(set) var isAtEnd = false
    private let isGzip: Bool

    private static let room = 256 << 10

    init(windowBits: Int32, path: String) throws(AnnexError) {
        self.isGzip = windowBits > 0
        guard unsafe CZlib_inflateInit2(&self.stream, windowBits) == Z_OK else {
            throw AnnexError(
                .system,
                "zlib cannot start",
                at: path,
                hint: "Is there memory left? Unpack the file first"
            )
        }
    }

    deinit { unsafe inflateEnd(&self.stream) }

    var needsInput: Bool { self.used == self.input.count }

    /// Gives it more input. Call it only where `needsInput`.
    func give(_ bytes: ArraySlice<UInt8>) {
        self.input.removeAll(keepingCapacity: true)
        self.input.append(contentsOf: bytes)
        self.used = 0
    }

    /// Appends what one step gives; false where that was nothing.
    func inflate(into output: inout [UInt8], path: String) throws(AnnexError) -> Bool {
        if self.isAtEnd {
            guard self.isGzip, self.used < self.input.count else {
                self.used = self.input.count
                return false
            }
            unsafe inflateReset(&self.stream)
            self.isAtEnd = false
        }
        let before = output.count
        output.append(contentsOf: repeatElement(0, count: Self.room))
        let (status, produced) = self.step(&output, from: before)
        output.removeLast(Self.room - produced)
        guard status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR else {
            throw AnnexError(
                .badInput,
                "the compressed data is damaged",
                at: path,
                hint: "Copy it again"
            )
        }
        self.isAtEnd = status == Z_STREAM_END
        return produced > 0
    }

    /// zlib gets `used...` of the input and `from...` of the output with their exact lengths; neither pointer is used
    /// afterwards.
    private func step(_ output: inout [UInt8], from begin: Int) -> (status: Int32, produced: Int) {
        let available = self.input.count - self.used
        let room = output.count - begin
        return unsafe self.input.withUnsafeMutableBufferPointer { input in
            unsafe output.withUnsafeMutableBufferPointer { output in
                unsafe self.stream.next_in = input.baseAddress.map { unsafe $0 + self.used }
                unsafe self.stream.avail_in = UInt32(available)
                unsafe self.stream.next_out = output.baseAddress.map { unsafe $0 + begin }
                unsafe self.stream.avail_out = UInt32(room)
                let status = unsafe CZlib.inflate(&self.stream, Z_NO_FLUSH)
                self.used += available - Int(unsafe self.stream.avail_in)
                return (status, room - Int(unsafe self.stream.avail_out))
            }
        }
    }
}
