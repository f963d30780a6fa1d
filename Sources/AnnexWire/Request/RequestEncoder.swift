package import NIOCore

/// Writes commands as arrays of bulk strings.
package enum RequestEncoder {
    /// A slice that begins behind the first 16 MiB of its buffer would be a copy, so a buffer ends well before.
    private static let bufferBytes = 4 << 20

    /// Encodes `count` requests, of the words that `words` gives for each number, as slices of few buffers.
    package static func encode(_ count: Int, _ words: (Int) -> [[UInt8]]) -> [ByteBuffer] {
        Self.slices(count) { Self.append(words($0), to: &$1) }
    }

    /// Returns `count` pieces, as `append` writes each by its number, as slices of few buffers.
    package static func slices(_ count: Int, _ append: (Int, inout ByteBuffer) -> Void) -> [ByteBuffer] {
        var out: [ByteBuffer] = []
        out.reserveCapacity(count)
        while out.count < count {
            // All of a buffer is written before the first slice is taken: after that, writing would copy it.
            var buffer = ByteBuffer()
            var ends: [Int] = []
            while out.count + ends.count < count, buffer.writerIndex < Self.bufferBytes {
                append(out.count + ends.count, &buffer)
                ends.append(buffer.writerIndex)
            }
            for end in ends { out.append(buffer.readSlice(length: end - buffer.readerIndex) ?? ByteBuffer()) }
        }
        return out
    }

    package static func append(_ words: [[UInt8]], to buffer: inout ByteBuffer) {
        Self.append(array: words.count, beginningWith: words, to: &buffer)
    }

    /// Begins a command of `count` words, of which these are the first.
    package static func append(array count: Int, beginningWith words: [[UInt8]], to buffer: inout ByteBuffer) {
        buffer.writeString("*\(count)\r\n")
        Self.append(bulks: words, to: &buffer)
    }

    /// Returns the arguments of a request from `first` on, encoded. Shares the request's bytes where it came as an
    /// array.
    package static func arguments(of request: Request, from first: Int) -> ByteBuffer {
        guard first < request.count else { return ByteBuffer() }
        guard request.isArray, first > 0 else {
            var buffer = ByteBuffer()
            Self.append(bulks: (first..<request.count).map { request.bytesOf($0) }, to: &buffer)
            return buffer
        }
        let before = request.arguments[first - 1]
        let start = request.bytes.readerIndex + Int(before.offset) + Int(before.count) + 2
        return request.bytes.getSlice(at: start, length: request.bytes.writerIndex - start) ?? ByteBuffer()
    }

    package static func append(bulks words: [[UInt8]], to buffer: inout ByteBuffer) {
        for word in words { word.withUnsafeBytes { Self.append(bulk: $0, to: &buffer) } }
    }

    /// Writes one argument. Allocates nothing where the buffer has room.
    package static func append(bulk bytes: UnsafeRawBufferPointer, to buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt8(ascii: "$"))
        Self.append(decimal: bytes.count, to: &buffer)
        buffer.writeInteger(Self.lineEnd)
        buffer.writeBytes(bytes)
        buffer.writeInteger(Self.lineEnd)
    }

    private static let lineEnd: UInt16 = 0x0d0a

    private static func append(decimal number: Int, to buffer: inout ByteBuffer) {
        var power = 1
        while power <= number / 10 { power *= 10 }
        while power > 0 {
            buffer.writeInteger(UInt8(ascii: "0") + UInt8(number / power % 10))
            power /= 10
        }
    }
}
