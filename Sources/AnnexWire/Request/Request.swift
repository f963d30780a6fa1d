package import AnnexCore
package import NIOCore

/// Holds one command as it lies in the receive buffer: the arguments are ranges of it, and nothing is copied.
///
/// A parser fills the same `Request` again and again; its storage is reused. A copy is a value of its own that may
/// leave the event loop (it shares the bytes, copy on write).
package struct Request: Sendable {
    package struct Argument: Sendable {
        package var offset: Int32
        package var count: Int32
    }

    /// Holds the frame's bytes; offsets count from its reader index.
    package internal(set) var bytes = ByteBuffer()
    package internal(set) var arguments: [Argument] = []

    package init() {}

    /// Lets go of the last frame's bytes, so that the receive buffer can be used again. `midFrame`: a parser has put
    /// arguments of an unfinished frame here, which stay.
    package mutating func release(midFrame: Bool) {
        self.bytes = ByteBuffer()
        if !midFrame { self.arguments.removeAll(keepingCapacity: self.arguments.capacity <= 64) }
    }

    /// Makes a request by hand, for tests and tools.
    package init(_ words: [[UInt8]]) {
        for word in words {
            self.arguments.append(Argument(offset: Int32(self.bytes.writerIndex), count: Int32(word.count)))
            self.bytes.writeBytes(word)
        }
    }

    /// Makes a request of some of the arguments of another, which shares its bytes. It is for reading them, not for
    /// sending them on.
    package init(_ words: Range<Int>, of request: Request) {
        self.bytes = request.bytes
        self.arguments = Array(request.arguments[words])
    }

    /// Counts, about, the bytes of the request and of the table of its arguments.
    package var heldBytes: Int {
        self.bytes.readableBytes + self.arguments.count * MemoryLayout<Argument>.stride
    }

    /// Counts the bytes that keeping the request keeps: all of the storage in which it came.
    package var pinnedBytes: Int {
        self.bytes.storageCapacity + self.arguments.count * MemoryLayout<Argument>.stride
    }

    /// Tells whether it came as an array; else it was a line.
    package var isArray: Bool {
        self.bytes.getInteger(at: self.bytes.readerIndex, as: UInt8.self) == UInt8(ascii: "*")
    }

    /// Counts arguments, the command's name included.
    package var count: Int { self.arguments.count }

    /// Lends the bytes of one argument. O(1).
    @inlinable
    package func withArgument<R, Failure>(
        _ index: Int,
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> R
    ) throws(Failure) -> R {
        let argument = self.arguments[index]
        return try self.bytes.withUnsafeReadableBytes { bytes throws(Failure) in
            let start = Int(argument.offset)
            return try body(UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(argument.count)]))
        }
    }

    /// Names of commands, parameters and sections have at most so many bytes.
    package static let maximumName = 64

    /// Returns the argument in lower case, as names of commands, parameters and sections are compared; nil where it cannot be one:
    /// it is not ASCII, or longer than any. An argument may have a megabyte, of which nothing is read then.
    package func name(_ index: Int) -> String? {
        self.withArgument(index) { bytes in
            guard bytes.count <= Self.maximumName, bytes.allSatisfy({ $0 < 0x80 }) else { return nil }
            return String(decoding: bytes.map(\.lowercasedASCII), as: UTF8.self)
        }
    }

    /// Returns the argument as text, in which what is not UTF-8 is replaced; nil where it has more bytes than `limit`.
    package func text(_ index: Int, atMost limit: Int) -> String? {
        self.withArgument(index) { bytes in
            bytes.count <= limit ? String(decoding: bytes, as: UTF8.self) : nil
        }
    }

    /// Returns the argument escaped and shortened, for error texts.
    package func printable(_ index: Int, limit: Int = 128) -> String {
        self.withArgument(index) { Printable.escape($0, limit: limit) }
    }

    package func bytesOf(_ index: Int) -> [UInt8] { self.withArgument(index) { Array($0) } }

    /// Returns nil unless the argument is 1 to 255 bytes of UTF-8. Copies: for errors and writes, not for the query
    /// path.
    package func identifier(_ index: Int) -> Identifier? {
        self.withArgument(index) { $0.count <= Identifier.maximumLength ? Identifier(Array($0)) : nil }
    }

    /// Returns nil unless the argument is a decimal integer: an optional `-`, digits, no leading zero, no overflow.
    package func integer(_ index: Int) -> Int? { self.withArgument(index) { StrictNumber.integer($0) } }

    /// Returns nil unless the argument is a finite decimal number within a float's range.
    package func float(_ index: Int) -> Float? { self.withArgument(index) { StrictNumber.float($0) } }

    /// Returns nil unless the argument is a finite decimal number within a double's range.
    package func double(_ index: Int) -> Double? { self.withArgument(index) { StrictNumber.double($0) } }

    /// Tells whether the argument is `keyword` in any case; `keyword` is upper-case ASCII.
    @inlinable
    package func matches(_ index: Int, _ keyword: StaticString) -> Bool {
        self.withArgument(index) { bytes in
            guard bytes.count == keyword.utf8CodeUnitCount else { return false }
            for position in 0..<bytes.count {
                var byte = bytes[position]
                if byte >= 0x61, byte <= 0x7a { byte &-= 0x20 }
                guard byte == keyword.utf8Start[position] else { return false }
            }
            return true
        }
    }
}

extension Request {
    /// From this size on bytes are shared rather than copied, as a copy takes a loop too long (some 0.1 ms a MiB). What
    /// is smaller may lie in a receive buffer several times its size, which would be kept and not counted.
    private static let sharedFrom = 256 << 10

    /// Returns the same request, to be kept: a small one has storage of its own, so that the receive buffer is not kept
    /// for it.
    package var detached: Request {
        guard self.bytes.readableBytes < Self.sharedFrom else { return self }
        var copy = self
        copy.bytes = ByteBuffer(bytes: self.bytes.readableBytesView)
        return copy
    }
}
