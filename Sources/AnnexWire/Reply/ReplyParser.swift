package import NIOCore

/// Replies out of a byte stream: for the command-line client, the router and tests.
///
/// Resumable and linear: an aggregate that is cut by the end of the buffer keeps its finished elements. No recursion:
/// open aggregates lie on a stack of at most `maximumDepth`.
package struct ReplyParser {
    package enum Failure: Error, Equatable {
        case malformed(String)
        case tooLarge(String)
    }

    package static let maximumDepth = 32
    /// One simple string, error or number has at most so many bytes.
    package static let maximumLineBytes = 1 << 20

    private struct Open {
        var marker: UInt8
        var missing: Int
        var elements: [ReplyValue] = []
        /// It is too large: what comes of it is dropped.
        var isDropped = false
    }

    private var stack: [Open] = []
    /// Counts bytes from the reader index on in which no line end was found, so that each byte is looked at once.
    private var scanned = 0
    private let maximumBulkBytes: Int
    private let maximumElements: Int
    private let passesOver: Bool
    /// Counts bytes of a bulk that are still to come, and are dropped.
    private var dropping = 0

    /// - Parameter passesOver: what is larger than the limits is dropped as it comes, and null stands in its place; otherwise it
    ///   is a failure.
    package init(maximumBulkBytes: Int = 512 << 20, maximumElements: Int = 1 << 24, passesOver: Bool = false) {
        self.maximumBulkBytes = maximumBulkBytes
        self.maximumElements = maximumElements
        self.passesOver = passesOver
    }

    /// Returns the next whole reply, or nil where more bytes are needed. Bytes that were used are read from `buffer`.
    package mutating func next(_ buffer: inout ByteBuffer) throws(Failure) -> ReplyValue? {
        while let element = try self.dropping > 0 ? self.drop(&buffer) : self.scalarOrOpen(&buffer) {
            guard let whole = self.complete(element) else { continue }
            return whole
        }
        return nil
    }

    private enum Element { case value(ReplyValue), opened }

    /// Goes on with a bulk that is too large.
    private mutating func drop(_ buffer: inout ByteBuffer) -> Element? {
        let count = min(self.dropping, buffer.readableBytes)
        buffer.moveReaderIndex(forwardBy: count)
        self.dropping -= count
        return self.dropping == 0 ? .value(.null) : nil
    }

    /// Reads one scalar, or opens one aggregate.
    private mutating func scalarOrOpen(_ buffer: inout ByteBuffer) throws(Failure) -> Element? {
        let start = buffer.readerIndex
        guard let marker = buffer.getInteger(at: start, as: UInt8.self) else { return nil }
        let view = buffer.readableBytesView
        guard let end = view[(start + self.scanned)...].firstIndex(of: UInt8(ascii: "\n")) else {
            self.scanned = view.count
            guard self.scanned <= Self.maximumLineBytes else { throw .tooLarge("a line") }
            return nil
        }
        // A bulk whose body is still to come is read again from its short header on.
        self.scanned = 0
        guard end > start + 1, buffer.getInteger(at: end - 1, as: UInt8.self) == UInt8(ascii: "\r") else {
            throw .malformed("a line does not end in CR LF")
        }
        let line = String(decoding: buffer.getBytes(at: start + 1, length: end - 2 - start) ?? [], as: UTF8.self)
        let next = end + 1
        switch marker {
        case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: "!"):
            if self.passesOver, let length = Self.number(line), length > self.maximumBulkBytes, length < Int.max - 2 {
                buffer.moveReaderIndex(to: next)
                self.dropping = length + 2
                return self.drop(&buffer)
            }
            guard let bytes = try self.bulk(&buffer, line, next) else { return nil }
            switch (marker, bytes) {
            case (_, .none): return .value(.null)
            case (UInt8(ascii: "!"), .some(let body)): return .value(.error(String(decoding: body, as: UTF8.self)))
            case (UInt8(ascii: "="), .some(let body)): return .value(.bulk(Array(body.dropFirst(4))))
            case (_, .some(let body)): return .value(.bulk(body))
            }
        case UInt8(ascii: "*"), UInt8(ascii: "~"), UInt8(ascii: ">"), UInt8(ascii: "%"), UInt8(ascii: "|"):
            buffer.moveReaderIndex(to: next)
            return try self.open(marker, line)
        default:
            buffer.moveReaderIndex(to: next)
            return .value(try Self.scalar(marker, line))
        }
    }

    /// The outer nil stands for "more bytes are needed", the inner one for a null bulk.
    private func bulk(_ buffer: inout ByteBuffer, _ line: String, _ next: Int) throws(Failure) -> [UInt8]?? {
        guard let length = Self.number(line), length >= -1 else { throw .malformed("bulk length '\(line)'") }
        guard length >= 0 else {
            buffer.moveReaderIndex(to: next)
            return .some(.none)
        }
        guard length <= self.maximumBulkBytes else { throw .tooLarge("a bulk of \(length) bytes") }
        guard buffer.writerIndex - next >= length + 2 else { return .none }
        guard buffer.getInteger(at: next + length, as: UInt16.self) == 0x0d0a else {
            throw .malformed("a bulk of \(length) bytes does not end in CR LF")
        }
        let body = buffer.getBytes(at: next, length: length) ?? []
        buffer.moveReaderIndex(to: next + length + 2)
        return .some(.some(body))
    }

    private static func number(_ line: String) -> Int? {
        var text = line
        return text.withUTF8 { StrictNumber.integer(UnsafeRawBufferPointer($0)) }
    }

    private mutating func open(_ marker: UInt8, _ line: String) throws(Failure) -> Element {
        guard let count = Self.number(line), count >= -1 else { throw .malformed("aggregate length '\(line)'") }
        if count < 0 { return .value(.null) }
        let isTooLarge = count > self.maximumElements
        guard !isTooLarge || (self.passesOver && count <= Int(Int32.max)) else {
            throw .tooLarge("an aggregate of \(count)")
        }
        guard self.stack.count < Self.maximumDepth else { throw .tooLarge("aggregates nested too deep") }
        let pairs = marker == UInt8(ascii: "%") || marker == UInt8(ascii: "|")
        let missing = pairs ? count * 2 : count
        if missing == 0 { return .value(Self.aggregate(marker, [])) }
        self.stack.append(Open(marker: marker, missing: missing, isDropped: isTooLarge))
        return .opened
    }

    /// Puts a finished element where it belongs; the reply, where that finished the outermost aggregate.
    private mutating func complete(_ element: Element) -> ReplyValue? {
        guard case .value(var value) = element else { return nil }
        while var top = self.stack.popLast() {
            if !top.isDropped { top.elements.append(value) }
            top.missing -= 1
            guard top.missing == 0 else {
                self.stack.append(top)
                return nil
            }
            value = top.isDropped ? .null : Self.aggregate(top.marker, top.elements)
        }
        return value
    }

    private static func aggregate(_ marker: UInt8, _ elements: [ReplyValue]) -> ReplyValue {
        switch marker {
        case UInt8(ascii: "%"), UInt8(ascii: "|"): .map(elements)
        case UInt8(ascii: "~"): .set(elements)
        case UInt8(ascii: ">"): .push(elements)
        default: .array(elements)
        }
    }

    private static func scalar(_ marker: UInt8, _ line: String) throws(Failure) -> ReplyValue {
        switch marker {
        case UInt8(ascii: "+"): return .simple(line)
        case UInt8(ascii: "-"): return .error(line)
        case UInt8(ascii: "_"): return .null
        case UInt8(ascii: ":"):
            guard let value = Self.number(line).map({ Int64($0) }) else { throw .malformed("integer '\(line)'") }
            return .integer(value)
        case UInt8(ascii: ","):
            guard let value = Double(line) else { throw .malformed("double '\(line)'") }
            return .double(value)
        case UInt8(ascii: "#"):
            guard line == "t" || line == "f" else { throw .malformed("boolean '\(line)'") }
            return .boolean(line == "t")
        case UInt8(ascii: "("): return .simple(line)
        default: throw .malformed("reply type \(marker)")
        }
    }
}
