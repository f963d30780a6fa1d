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
        /// What comes of it is dropped, and this stands in its place.
        var substitute: ReplyValue?
        /// It ends with `cut` already.
        var isCut = false
    }

    /// An element costs about so many bytes of memory besides those that came.
    private static let elementOverhead = 128

    private var stack: [Open] = []
    /// Counts bytes from the reader index on in which no line end was found, so that each byte is looked at once.
    private var scanned = 0
    private let maximumBulkBytes: Int
    private let maximumElements: Int
    private let passesOver: Bool
    private let maximumKeptBytes: Int
    /// Bytes of a bulk that are still to come, and are dropped; and what stands in its place.
    private var dropping = 0
    private var substitute = ReplyValue.null
    /// Bytes that are kept of the reply at hand. Once they were to pass the limit, the rest of the reply is dropped.
    private var keptBytes = 0
    private var isFull = false

    /// - Parameters:
    ///   - maximumKeptBytes: of one whole reply, with 128 for each element. What comes behind is dropped as it comes, and one `cut`
    ///     stands in its place in each aggregate that lost something.
    ///   - passesOver: what is larger than the other limits is dropped as it comes, and null stands in its place; otherwise it is a
    ///     failure.
    package init(
        maximumBulkBytes: Int = 512 << 20,
        maximumElements: Int = 1 << 24,
        maximumKeptBytes: Int = .max,
        passesOver: Bool = false
    ) {
        self.maximumBulkBytes = maximumBulkBytes
        self.maximumElements = maximumElements
        self.maximumKeptBytes = maximumKeptBytes
        self.passesOver = passesOver
    }

    /// Returns the next whole reply, or nil where more bytes are needed. Bytes that were used are read from `buffer`.
    package mutating func next(_ buffer: inout ByteBuffer) throws(Failure) -> ReplyValue? {
        while let element = try self.dropping > 0 ? self.drop(&buffer) : self.scalarOrOpen(&buffer) {
            guard let whole = self.complete(element) else { continue }
            (self.keptBytes, self.isFull) = (0, false)
            return whole
        }
        return nil
    }

    private enum Element { case value(ReplyValue), opened }

    /// Counts an element of so many bytes; false where it must not be kept.
    private mutating func hasRoom(for bytes: Int) -> Bool {
        guard !self.isFull else { return false }
        // Neither is above 512 MiB, but for a length that is refused anyway.
        let (sum, overflow) = self.keptBytes.addingReportingOverflow(max(0, bytes) &+ Self.elementOverhead)
        self.isFull = overflow || sum > self.maximumKeptBytes
        if !self.isFull { self.keptBytes = sum }
        return !self.isFull
    }

    /// Begins to drop a bulk.
    private mutating func drop(_ length: Int, _ buffer: inout ByteBuffer, for substitute: ReplyValue) -> Element? {
        self.dropping = length + 2
        self.substitute = substitute
        return self.drop(&buffer)
    }

    /// Goes on with a bulk that is dropped.
    private mutating func drop(_ buffer: inout ByteBuffer) -> Element? {
        let count = min(self.dropping, buffer.readableBytes)
        buffer.moveReaderIndex(forwardBy: count)
        self.dropping -= count
        return self.dropping == 0 ? .value(self.substitute) : nil
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
                return self.drop(length, &buffer, for: self.isFull ? .cut : .null)
            }
            if let length = Self.number(line), (0...self.maximumBulkBytes).contains(length),
                self.isFull || self.keptBytes + length + Self.elementOverhead > self.maximumKeptBytes
            {
                self.isFull = true
                buffer.moveReaderIndex(to: next)
                return self.drop(length, &buffer, for: .cut)
            }
            guard let bytes = try self.bulk(&buffer, line, next) else { return nil }
            guard self.hasRoom(for: bytes?.count ?? 0) else { return .value(.cut) }
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
            let value = try Self.scalar(marker, line)
            return .value(self.hasRoom(for: line.utf8.count) ? value : .cut)
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
        let hasRoom = self.hasRoom(for: 0)
        if count < 0 { return .value(hasRoom ? .null : .cut) }
        let isTooLarge = count > self.maximumElements
        guard !isTooLarge || (self.passesOver && count <= Int(Int32.max)) else {
            throw .tooLarge("an aggregate of \(count)")
        }
        guard self.stack.count < Self.maximumDepth else { throw .tooLarge("aggregates nested too deep") }
        let pairs = marker == UInt8(ascii: "%") || marker == UInt8(ascii: "|")
        let missing = pairs ? count * 2 : count
        if missing == 0 { return .value(hasRoom ? Self.aggregate(marker, []) : .cut) }
        let substitute: ReplyValue? = hasRoom ? (isTooLarge ? .null : nil) : .cut
        self.stack.append(Open(marker: marker, missing: missing, substitute: substitute))
        return .opened
    }

    /// Puts a finished element where it belongs; the reply, where that finished the outermost aggregate.
    private mutating func complete(_ element: Element) -> ReplyValue? {
        guard case .value(var value) = element else { return nil }
        while var top = self.stack.popLast() {
            if top.substitute == nil, !top.isCut {
                top.elements.append(value)
                if case .cut = value { top.isCut = true }
            }
            top.missing -= 1
            guard top.missing == 0 else {
                self.stack.append(top)
                return nil
            }
            value = top.substitute ?? Self.aggregate(top.marker, top.elements)
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
