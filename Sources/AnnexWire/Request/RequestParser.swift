package import NIOCore

/// Parses requests out of a byte stream: RESP arrays of bulk strings, and inline lines for people.
///
/// It is a value: bytes go in, and a request, "more" or a protocol error comes out. It remembers how far it came
/// (offsets count from the buffer's reader index, so the buffer may grow or move), reads every byte once, does not
/// recurse, and compares each length with its limit before it is added to anything. Nothing is allocated for what a
/// client merely declares.
///
/// One parser belongs to one connection and is given the same `Request` each time: arguments of an unfinished frame lie
/// there. After `.failed` the connection closes; the parser is not to be asked again.
package struct RequestParser {
    package enum Result: Equatable {
        case request
        case needMore
        /// `argumentsPerCall` of one frame have been read, and there are more: whoever shares a thread may look at the time.
        case paused
        /// The text behind `-ERR Protocol error: `; the connection must close.
        case failed(String)
    }

    /// The limits are clamped to ranges in which no sum of them overflows.
    package var limits: WireLimits {
        didSet { self.limits = self.limits.clamped }
    }
    /// Switches from the limits before `AUTH` to the full ones; from the next frame's first unread byte on.
    package var authenticated: Bool
    /// Counts bytes examined since the parser was made, each once: for the test that parsing is linear.
    package private(set) var examinedBytes = 0

    private enum Step {
        case start
        case argumentHeader
        case argumentBody(length: Int)
    }

    private var step = Step.start
    /// Counts bytes of the present frame that are understood, from the reader index on.
    private var consumed = 0
    /// Counts bytes behind `consumed` in which no line end was found.
    private var scanned = 0
    private var missingArguments = 0

    package init(limits: WireLimits = WireLimits(), authenticated: Bool = true) {
        self.limits = limits.clamped
        self.authenticated = authenticated
    }

    /// One call reads at most so many arguments of one frame, which takes some 0.1 ms.
    package static let argumentsPerCall = 8_192

    /// Tells whether part of a frame has been understood; what the timer for unfinished commands asks, together with
    /// whether unread bytes remain.
    package var isInsideFrame: Bool { self.consumed > 0 || self.scanned > 0 }

    /// Counts bytes of the unfinished frame that have been looked at.
    package var pendingBytes: Int { self.consumed + self.scanned }

    /// Takes one request off the front of `buffer`. Empty requests (`*0`, a blank line) are skipped.
    package mutating func next(_ buffer: inout ByteBuffer, into request: inout Request) -> Result {
        while true {
            switch self.step {
            case .start:
                guard let marker = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) else { return .needMore }
                request.arguments.removeAll(keepingCapacity: true)
                let result =
                    marker == UInt8(ascii: "*") ? self.arrayHeader(&buffer) : self.inline(&buffer, &request)
                if let result { return result }
            case .argumentHeader:
                if let result = self.argumentHeader(&buffer) { return result }
            case .argumentBody(let length):
                if let result = self.argumentBody(&buffer, length, &request) { return result }
            }
        }
    }

    private mutating func reset() {
        self.step = .start
        self.consumed = 0
        self.scanned = 0
        self.missingArguments = 0
    }

    /// The reader moves past the frame.
    private mutating func finish(_ buffer: inout ByteBuffer) {
        buffer.moveReaderIndex(forwardBy: self.consumed)
        self.reset()
    }

    // MARK: Arrays

    /// Returns nil where parsing goes on.
    private mutating func arrayHeader(_ buffer: inout ByteBuffer) -> Result? {
        switch self.headerLine(&buffer) {
        case .missing: return .needMore
        case .tooLong: return .failed("too big mbulk count string")
        case .value(let value):
            guard let count = value, count <= self.limits.arguments else {
                return .failed("invalid multibulk length")
            }
            if !self.authenticated, count > self.limits.unauthenticatedArguments {
                return .failed("unauthenticated multibulk length")
            }
            if count <= 0 {
                self.finish(&buffer)
                return nil
            }
            self.missingArguments = count
            self.step = .argumentHeader
            return nil
        }
    }

    private mutating func argumentHeader(_ buffer: inout ByteBuffer) -> Result? {
        guard let marker = buffer.getInteger(at: buffer.readerIndex + self.consumed, as: UInt8.self) else {
            return .needMore
        }
        guard marker == UInt8(ascii: "$") else {
            let shown = (0x20...0x7e).contains(marker) ? String(UnicodeScalar(marker)) : "?"
            return .failed("expected '$', got '\(shown)'")
        }
        switch self.headerLine(&buffer) {
        case .missing: return .needMore
        case .tooLong: return .failed("too big bulk count string")
        case .value(let value):
            guard let length = value, length >= 0, length <= self.limits.argumentBytes else {
                return .failed("invalid bulk length")
            }
            if !self.authenticated, length > self.limits.unauthenticatedArgumentBytes {
                return .failed("unauthenticated bulk length")
            }
            // `consumed` is at most commandBytes and `length` at most argumentBytes: the sum cannot overflow.
            guard self.consumed + length + 2 <= self.limits.commandBytes else {
                return .failed("too big command")
            }
            if !self.authenticated, self.consumed + length + 2 > self.limits.unauthenticatedBufferBytes {
                return .failed("unauthenticated client sent too much")
            }
            self.step = .argumentBody(length: length)
            return nil
        }
    }

    private mutating func argumentBody(_ buffer: inout ByteBuffer, _ length: Int, _ request: inout Request) -> Result? {
        guard buffer.readableBytes >= self.consumed + length + 2 else { return .needMore }
        let end = buffer.readerIndex + self.consumed + length
        guard buffer.getInteger(at: end, as: UInt16.self) == 0x0d0a else {
            return .failed("expected CRLF after a bulk string")
        }
        request.arguments.append(.init(offset: Int32(self.consumed), count: Int32(length)))
        self.consumed += length + 2
        self.examinedBytes += 2
        self.missingArguments -= 1
        if self.missingArguments > 0 {
            self.step = .argumentHeader
            return request.count.isMultiple(of: Self.argumentsPerCall) ? .paused : nil
        }
        // A slice keeps its own indices, so the ranges stay true when the receive buffer moves on.
        request.bytes = buffer.getSlice(at: buffer.readerIndex, length: self.consumed) ?? ByteBuffer()
        self.finish(&buffer)
        return .request
    }

    private enum Header { case missing, tooLong, value(Int?) }

    /// Reads `*<digits>CRLF` or `$<digits>CRLF` at `consumed`. A length needs at most 20 digits and a sign.
    private mutating func headerLine(_ buffer: inout ByteBuffer) -> Header {
        let maximum = 24
        let start = buffer.readerIndex + self.consumed
        let available = min(buffer.writerIndex - start, maximum)
        let from = 1 + self.scanned
        var result = Header.missing
        var used = 0
        buffer.withUnsafeReadableBytes { bytes in
            let base = self.consumed
            var position = from
            while position < available, bytes[base + position] != 0x0a { position += 1 }
            self.examinedBytes += position - from
            guard position < available else {
                self.scanned = max(0, position - 1)
                result = available == maximum ? .tooLong : .missing
                return
            }
            guard bytes[base + position - 1] == 0x0d, position >= 2 else {
                result = .value(nil)
                return
            }
            used = position + 1
            result = .value(
                StrictNumber.integer(UnsafeRawBufferPointer(rebasing: bytes[base + 1..<base + position - 1]))
            )
        }
        if used > 0 {
            self.consumed += used
            self.scanned = 0
        }
        return result
    }

    // MARK: Inline lines

    /// Returns nil for a blank line.
    private mutating func inline(_ buffer: inout ByteBuffer, _ request: inout Request) -> Result? {
        let limit = min(
            self.limits.lineBytes,
            self.authenticated ? Int.max : self.limits.unauthenticatedBufferBytes
        )
        let from = self.scanned
        var lineLength: Int?
        buffer.withUnsafeReadableBytes { bytes in
            // One byte beyond the limit, so that a line of just the limit may end there.
            let end = min(bytes.count, limit + 2)
            var position = from
            while position < end, bytes[position] != 0x0a { position += 1 }
            self.examinedBytes += position - from
            if position < end { lineLength = position }
            self.scanned = position
        }
        guard let newline = lineLength else {
            return self.scanned > limit + 1 ? .failed("too big inline request") : .needMore
        }
        let hasReturn = newline > 0 && buffer.getInteger(at: buffer.readerIndex + newline - 1, as: UInt8.self) == 0x0d
        let length = hasReturn ? newline - 1 : newline
        guard length <= limit else { return .failed("too big inline request") }
        let line = buffer.getSlice(at: buffer.readerIndex, length: length) ?? ByteBuffer()
        self.consumed = newline + 1
        self.finish(&buffer)
        if Self.isHTTP(line) { return .failed("this is no HTTP server") }
        guard InlineSplitter.split(line, into: &request) else { return .failed("unbalanced quotes in request") }
        return request.arguments.isEmpty ? nil : self.checkWords(request)
    }

    /// The words of a line keep the limits of a frame's arguments.
    private func checkWords(_ request: Request) -> Result {
        let longest = request.arguments.reduce(0) { max($0, Int($1.count)) }
        if request.count > self.limits.arguments { return .failed("invalid multibulk length") }
        if longest > self.limits.argumentBytes { return .failed("invalid bulk length") }
        guard !self.authenticated else { return .request }
        if request.count > self.limits.unauthenticatedArguments { return .failed("unauthenticated multibulk length") }
        if longest > self.limits.unauthenticatedArgumentBytes { return .failed("unauthenticated bulk length") }
        return .request
    }

    /// Tells whether a line is one that a browser sends and no person types: a page must not be able to make a browser
    /// on this machine talk to the server.
    private static func isHTTP(_ line: ByteBuffer) -> Bool {
        let view = line.readableBytesView
        return view.starts(with: "POST ".utf8) || view.starts(with: "Host:".utf8)
    }
}
