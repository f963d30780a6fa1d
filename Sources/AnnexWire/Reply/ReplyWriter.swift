package import AnnexCore
package import NIOCore

/// Names the protocol version of one connection; `HELLO` changes it.
package enum RESPVersion: Int, Sendable { case two = 2, three = 3 }

/// Replies into a buffer, in the shapes of the connection's protocol. RESP3 types fall back to RESP2's by the rules of
/// Redis modules: map to flat array, boolean to 1/0, double to bulk string, null to `$-1`.
///
/// Each reply has a budget of bytes. What would go beyond it is not written: `isOverBudget` becomes true, everything after
/// is dropped too, and the caller rewinds and sends an error instead. A writer of many elements looks at `isOverBudget`
/// after each and stops. So no buffer grows beyond its limit, whatever is asked.
package struct ReplyWriter: Sendable {
    /// The largest budget of one reply. ByteBuffer counts in 32 bits; two budgets of this size stay below.
    package static let largestBudget = 1 << 31 - 1

    package var version: RESPVersion
    package private(set) var buffer: ByteBuffer
    /// Holds the writer index that the present reply must not pass.
    private var end: Int
    /// Tells whether something of the present reply did not fit and was left out.
    package private(set) var isOverBudget = false

    /// - Parameter budget: bytes that the first reply may take.
    package init(version: RESPVersion, budget: Int = Self.largestBudget, buffer: ByteBuffer) {
        self.version = version
        self.buffer = buffer
        self.end = buffer.writerIndex + min(budget, Self.largestBudget)
    }

    // MARK: One reply after the other

    /// Begins a reply that may take `budget` bytes. Returns where it begins, for `rewind`.
    package mutating func begin(budget: Int) -> Int {
        self.isOverBudget = false
        self.end = self.buffer.writerIndex + min(budget, Self.largestBudget)
        return self.buffer.writerIndex
    }

    /// Runs `body` with at most `bytes` of the budget that is left, then gives back the rest.
    ///
    /// - Returns: false where that was not enough: nothing is written then, and the reply may be made again with more.
    package mutating func write(within bytes: Int, _ body: (inout Self) -> Void) -> Bool {
        let (start, end) = (self.buffer.writerIndex, self.end)
        self.end = min(end, start + min(bytes, Self.largestBudget))
        body(&self)
        self.end = end
        guard self.isOverBudget else { return true }
        self.rewind(to: start)
        return false
    }

    /// Says where the next reply begins, for `rewind`.
    package var position: Int { self.buffer.writerIndex }

    /// Takes back what was written since `position` had this value. What is written next may use the whole budget again.
    package mutating func rewind(to position: Int) {
        self.buffer.moveWriterIndex(to: position)
        self.isOverBudget = false
    }

    /// Copies what was written since `position` had this value.
    package func copy(from position: Int) -> ByteBuffer {
        ByteBuffer(bytes: self.buffer.readableBytesView[position...])
    }

    /// Takes a buffer to write into; what it holds already counts for no reply.
    package mutating func use(_ buffer: consuming ByteBuffer) {
        self.end = buffer.writerIndex + Self.largestBudget
        self.buffer = buffer
        self.isOverBudget = false
    }

    /// Gives the buffer away with all that was written.
    package mutating func takeBuffer() -> ByteBuffer {
        let taken = self.buffer
        self.use(ByteBuffer())
        return taken
    }

    /// Returns false where so many more bytes would go beyond the budget: they must not be written then.
    ///
    /// - Parameters:
    ///   - most: an estimate from above, cheap to make.
    ///   - exact: the true number, asked for only where the estimate does not fit.
    @inline(__always)
    private mutating func fits(_ most: Int, exact: @autoclosure () -> Int) -> Bool {
        let room = self.end - self.buffer.writerIndex
        if !self.isOverBudget, most <= room || exact() <= room { return true }
        self.isOverBudget = true
        return false
    }

    @inline(__always)
    private mutating func fits(_ count: Int) -> Bool { self.fits(count, exact: count) }

    /// Returns how many bytes a line with a number takes.
    private static func lineLength(_ value: Int) -> Int { String(value).utf8.count + 3 }

    // MARK: Types

    /// Appends a whole reply, or elements of one, that were written before.
    package mutating func encoded(_ bytes: ByteBuffer) {
        guard self.fits(bytes.readableBytes) else { return }
        self.buffer.writeImmutableBuffer(bytes)
    }

    /// Control characters in `text` are escaped, so that nothing can end the line.
    package mutating func simpleString(_ text: String) {
        let isPlain = text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f }
        self.textLine(UInt8(ascii: "+"), isPlain ? text : Printable.escape(text, limit: 2_048))
    }

    /// Writes a simple string that is known to be printable ASCII: `OK`, `PONG`.
    package mutating func status(_ text: StaticString) {
        guard self.fits(text.utf8CodeUnitCount + 3) else { return }
        self.buffer.writeStaticString("+")
        self.buffer.writeStaticString(text)
        self.endLine()
    }

    /// Control characters in `message` are escaped, so nothing from outside can end the line.
    package mutating func error(code: ErrorCode, _ message: String) {
        self.textLine(UInt8(ascii: "-"), code.rawValue + " " + Printable.escape(message, limit: 2_048))
    }

    /// A failure of the engine, the state or the log, with the code that it has for clients.
    package mutating func error(_ failure: AnnexError) { self.error(code: ErrorCode(failure.code), "\(failure)") }

    private mutating func textLine(_ marker: UInt8, _ text: String) {
        guard self.fits(text.utf8.count + 3) else { return }
        self.buffer.writeInteger(marker)
        self.buffer.writeString(text)
        self.endLine()
    }

    package mutating func integer(_ value: Int) { self.line(UInt8(ascii: ":"), value) }

    /// Writes a bulk string in one step: ten of these are most of an answer.
    package mutating func bulk(_ bytes: UnsafeRawBufferPointer) {
        guard self.fits(bytes.count + 2 + Self.lineBytes, exact: bytes.count + 2 + Self.lineLength(bytes.count)) else {
            return
        }
        self.buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytes.count + 2 + Self.lineBytes) { out in
            let start = Self.putLine(UInt8(ascii: "$"), bytes.count, out)
            UnsafeMutableRawBufferPointer(rebasing: out[start...]).copyMemory(from: bytes)
            out[start + bytes.count] = 0x0d
            out[start + bytes.count + 1] = 0x0a
            return start + bytes.count + 2
        }
    }

    package mutating func bulk(_ text: String) {
        guard
            self.fits(
                text.utf8.count + 2 + Self.lineBytes,
                exact: text.utf8.count + 2 + Self.lineLength(text.utf8.count)
            )
        else { return }
        self.line(UInt8(ascii: "$"), text.utf8.count)
        self.buffer.writeString(text)
        self.endLine()
    }

    package mutating func null() {
        guard self.fits(self.version == .three ? 3 : 5) else { return }
        if self.version == .three {
            self.buffer.writeStaticString("_\r\n")
        } else {
            self.buffer.writeStaticString("$-1\r\n")
        }
    }

    package mutating func nullArray() {
        guard self.fits(self.version == .three ? 3 : 5) else { return }
        if self.version == .three {
            self.buffer.writeStaticString("_\r\n")
        } else {
            self.buffer.writeStaticString("*-1\r\n")
        }
    }

    package mutating func array(_ count: Int) { self.line(UInt8(ascii: "*"), count) }

    /// Header of a map of `count` pairs; the caller writes key, value, key, value.
    package mutating func map(_ count: Int) {
        if self.version == .three {
            self.line(UInt8(ascii: "%"), count)
        } else {
            self.line(UInt8(ascii: "*"), count * 2)
        }
    }

    package mutating func set(_ count: Int) {
        self.line(self.version == .three ? UInt8(ascii: "~") : UInt8(ascii: "*"), count)
    }

    package mutating func boolean(_ value: Bool) {
        guard self.version == .three else { return self.integer(value ? 1 : 0) }
        guard self.fits(4) else { return }
        if value { self.buffer.writeStaticString("#t\r\n") } else { self.buffer.writeStaticString("#f\r\n") }
    }

    /// Writes the shortest decimal that reads back as the same float.
    package mutating func double(_ value: Float) {
        ShortestDecimal.withText(of: value) { self.decimal($0) }
    }

    package mutating func double(_ value: Double) {
        ShortestDecimal.withText(of: value) { self.decimal($0) }
    }

    private mutating func decimal(_ text: UnsafeRawBufferPointer) {
        guard self.version == .three else { return self.bulk(text) }
        guard self.fits(text.count + 3) else { return }
        self.buffer.writeStaticString(",")
        self.buffer.writeBytes(text)
        self.endLine()
    }

    /// Writes a text for people, verbatim in RESP3, as a bulk string in RESP2.
    package mutating func verbatim(_ text: String) {
        guard self.version == .three else { return self.bulk(text) }
        guard self.fits(text.utf8.count + 6 + Self.lineLength(text.utf8.count + 4)) else { return }
        self.line(UInt8(ascii: "="), text.utf8.count + 4)
        self.buffer.writeStaticString("txt:")
        self.buffer.writeString(text)
        self.endLine()
    }

    private mutating func endLine() { self.buffer.writeInteger(UInt16(0x0d0a)) }

    /// Writes a marker, a decimal number and CR LF, without an allocation.
    private mutating func line(_ marker: UInt8, _ value: Int) {
        guard self.fits(Self.lineBytes, exact: Self.lineLength(value)) else { return }
        self.buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.lineBytes) {
            Self.putLine(marker, value, $0)
        }
    }

    /// A line with a number has at most so many bytes: marker, sign, 19 digits, CR LF, and one to spare.
    private static let lineBytes = 24

    /// Returns the number of bytes.
    @inline(__always)
    private static func putLine(_ marker: UInt8, _ value: Int, _ out: UnsafeMutableRawBufferPointer) -> Int {
        out[0] = marker
        if value >= 0, value < 10 {
            out[1] = 0x30 + UInt8(truncatingIfNeeded: value)
            out[2] = 0x0d
            out[3] = 0x0a
            return 4
        }
        var length = 1
        if value < 0 {
            out[1] = UInt8(ascii: "-")
            length = 2
        }
        var (magnitude, digits) = (value.magnitude, 0)
        repeat {
            magnitude /= 10
            digits += 1
        } while magnitude > 0
        magnitude = value.magnitude
        for index in stride(from: length + digits - 1, through: length, by: -1) {
            let (quotient, digit) = magnitude.quotientAndRemainder(dividingBy: 10)
            out[index] = 0x30 + UInt8(digit)
            magnitude = quotient
        }
        length += digits
        out[length] = 0x0d
        out[length + 1] = 0x0a
        return length + 2
    }
}

/// Writes floats as text the way Redis does: `1` rather than `1.0`, `inf`, `nan`.
enum ShortestDecimal {
    static func withText(of value: Float, _ body: (UnsafeRawBufferPointer) -> Void) {
        Self.lend(value.isNaN ? "nan" : value.description, body)
    }

    static func withText(of value: Double, _ body: (UnsafeRawBufferPointer) -> Void) {
        Self.lend(value.isNaN ? "nan" : value.description, body)
    }

    /// Descriptions of 15 bytes and fewer lie within the string: most floats cost no allocation.
    private static func lend(_ description: String, _ body: (UnsafeRawBufferPointer) -> Void) {
        var text = description
        text.withUTF8 { bytes in
            let raw = UnsafeRawBufferPointer(bytes)
            let wholeNumber = bytes.count > 2 && bytes[bytes.count - 1] == 0x30 && bytes[bytes.count - 2] == 0x2e
            body(wholeNumber ? UnsafeRawBufferPointer(rebasing: raw[..<(raw.count - 2)]) : raw)
        }
    }
}
