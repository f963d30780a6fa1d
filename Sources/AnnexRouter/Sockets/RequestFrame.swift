import AnnexWire
import NIOCore

/// Holds a request as replicas get it. Large ones share the bytes that the client sent.
struct RequestFrame {
    /// From this size on bytes are shared rather than copied: a small copy is cheaper than keeping a whole receive
    /// buffer.
    static let sharedFrom = 16 << 10

    private(set) var head = ByteBuffer()
    /// Holds the bytes behind `head`; several frames may share them.
    private(set) var tail: ByteBuffer?

    var byteCount: Int { self.head.readableBytes + (self.tail?.readableBytes ?? 0) }

    /// Tells whether `head` lies in the storage in which the client's bytes came, which is kept with it.
    private var isShared = false

    /// Counts the bytes that are kept with the frame; `tail` counts for this frame alone.
    var heldBytes: Int { self.isShared ? self.head.storageCapacity : self.byteCount }

    /// Takes the request as it came. The storage of `head` is used again where it is copied.
    mutating func set(_ request: Request) {
        self.tail = nil
        self.isShared = false
        guard request.isArray else {
            // Replicas get a line as an array.
            self.head.clear()
            return RequestEncoder.append((0..<request.count).map { request.bytesOf($0) }, to: &self.head)
        }
        if request.bytes.readableBytes >= Self.sharedFrom {
            self.head = request.bytes
            self.isShared = true
        } else {
            self.head.clear()
            self.head.writeImmutableBuffer(request.bytes)
        }
    }

    /// Makes an `MTOPK` for some of the users of one, with the options of all.
    ///
    /// - Parameters:
    ///   - users: positions of their ids.
    ///   - options: the encoded arguments behind the users.
    init(users: [Int], of request: Request, options: ByteBuffer, optionCount: Int) {
        let words = [Array("MTOPK".utf8), Array("\(users.count)".utf8)]
        RequestEncoder.append(array: words.count + users.count + optionCount, beginningWith: words, to: &self.head)
        for user in users { request.withArgument(user) { RequestEncoder.append(bulk: $0, to: &self.head) } }
        self.tail = options
    }

    init() {}

    /// Lets go of bytes that are not worth keeping.
    mutating func end() {
        self.tail = nil
        self.isShared = false
        if self.head.capacity > 4_096 { self.head = ByteBuffer() }
    }
}
