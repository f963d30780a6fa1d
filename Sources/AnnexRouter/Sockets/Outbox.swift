import NIOCore
import Synchronization

/// Holds requests of one link that its replica did not take yet. Small ones are joined, and large ones share the bytes
/// of who sent them.
struct Outbox: ~Copyable {
    /// The bound for all links of the process together.
    static let mostBytes = 64 << 20

    private var pieces: [ByteBuffer] = []
    /// Tells whether the last piece may be written on to.
    private var lastIsOpen = false
    private(set) var bytes = 0
    /// Counts the bytes that were given to the socket, which did not take them yet.
    private var underWay = 0
    private let total: RouterShared

    init(_ total: RouterShared) { self.total = total }

    deinit { self.total.outboxBytes.subtract(self.bytes + self.underWay, ordering: .relaxed) }

    var isEmpty: Bool { self.bytes == 0 }

    /// Returns false where all links together hold so much that it does not fit; nothing was taken then.
    mutating func hasRoom(for count: Int) -> Bool {
        self.total.outboxBytes.load(ordering: .relaxed) + count <= Self.mostBytes
    }

    mutating func append(_ bytes: ByteBuffer) {
        let count = bytes.readableBytes
        self.bytes += count
        self.total.outboxBytes.add(count, ordering: .relaxed)
        if count >= RequestFrame.sharedFrom {
            self.pieces.append(bytes)
            self.lastIsOpen = false
        } else if self.lastIsOpen, self.pieces[self.pieces.count - 1].readableBytes < 64 << 10 {
            self.pieces[self.pieces.count - 1].writeImmutableBuffer(bytes)
        } else {
            var piece = ByteBufferAllocator().buffer(capacity: max(count, 512))
            piece.writeImmutableBuffer(bytes)
            self.pieces.append(piece)
            self.lastIsOpen = true
        }
    }

    /// Takes all for the socket; `sent` is to be told when it took them.
    mutating func takeAll() -> (pieces: [ByteBuffer], bytes: Int) {
        defer {
            self.underWay += self.bytes
            self.bytes = 0
            self.pieces = []
            self.lastIsOpen = false
        }
        return (self.pieces, self.bytes)
    }

    mutating func sent(_ bytes: Int) {
        self.underWay -= bytes
        self.total.outboxBytes.subtract(bytes, ordering: .relaxed)
    }

    /// The connection is gone.
    mutating func removeAll() {
        self.total.outboxBytes.subtract(self.bytes + self.underWay, ordering: .relaxed)
        self.bytes = 0
        self.underWay = 0
        self.pieces = []
        self.lastIsOpen = false
    }
}
