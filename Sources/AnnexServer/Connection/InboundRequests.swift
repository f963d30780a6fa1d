import AnnexWire
import NIOCore

/// Holds the bytes of a client that are not answered yet, and the parser that makes requests of them.
///
/// Bytes lie in the socket's read buffer during a turn, and move to storage of their own size after it, as the read buffer is
/// needed again. A connection without an unfinished command holds nothing.
struct InboundRequests {
    private(set) var parser: RequestParser
    /// Holds the request that was parsed last.
    private(set) var request = Request()
    private var bytes = ByteBuffer()
    /// Tells whether `bytes` is storage of this connection's own, or still the buffer that the socket was read into.
    private var isOwn = false

    init(limits: WireLimits, authenticated: Bool) {
        self.parser = RequestParser(limits: limits, authenticated: authenticated)
    }

    /// Other limits hold from the next command on.
    mutating func authenticationChanged(to authenticated: Bool) { self.parser.authenticated = authenticated }

    /// Counts bytes that are not parsed.
    var unparsedBytes: Int { self.bytes.readableBytes }

    /// Tells whether the beginning of a command is here.
    var hasUnfinished: Bool { self.parser.isInsideFrame || self.bytes.readableBytes > 0 }

    /// Counts the bytes of a parsed request that is answered later.
    private var keptBytes = 0

    /// Storage held between turns.
    var heldBytes: Int { (self.isOwn ? self.bytes.capacity : 0) + self.keptBytes }

    mutating func append(_ more: consuming ByteBuffer) {
        if self.bytes.readableBytes == 0 {
            self.bytes = more
            self.isOwn = false
        } else {
            var more = more
            self.bytes.writeBuffer(&more)
        }
    }

    /// Parses the next request into `request`.
    mutating func next() -> RequestParser.Result {
        self.shrink()
        return self.parser.next(&self.bytes, into: &self.request)
    }

    /// Storage above this size is not kept for what is much smaller.
    private static let largeStorage = 64 << 10

    /// Moves what lies behind a large command to storage of its own. A request shares the storage in which it came for as long
    /// as anybody needs it, and would keep all of that.
    private mutating func shrink() {
        guard self.bytes.storageCapacity > Self.largeStorage, !self.parser.isInsideFrame,
            self.bytes.readableBytes < self.bytes.storageCapacity / 4
        else { return }
        self.bytes = ByteBuffer(bytes: self.bytes.readableBytesView)
        self.isOwn = true
    }

    /// Makes a request that was parsed before the present one. It may be called between frames only.
    mutating func put(_ request: Request) { self.request = request }

    /// Tidies up after a turn. With `keepingRequest` the parsed request will be answered later.
    mutating func settle(keepingRequest: Bool) {
        let left = self.bytes.readableBytes
        if left == 0 {
            if self.bytes.capacity > 0 { self.bytes = ByteBuffer() }
            self.isOwn = false
        } else if !self.isOwn {
            var own = ByteBufferAllocator().buffer(capacity: left)
            own.writeBuffer(&self.bytes)
            self.bytes = own
            self.isOwn = true
        } else if self.bytes.readerIndex > 64 << 10 {
            self.bytes.discardReadBytes()
        }
        self.keptBytes = keepingRequest ? self.request.heldBytes : 0
        if !keepingRequest { self.request.release(midFrame: self.parser.isInsideFrame) }
    }

    mutating func removeAll() {
        self.bytes = ByteBuffer()
        self.isOwn = false
        self.keptBytes = 0
        self.request = Request()
    }
}
