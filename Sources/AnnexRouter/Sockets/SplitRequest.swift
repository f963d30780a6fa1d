import AnnexCore
import AnnexNetwork
import AnnexWire
import NIOCore

/// A request that goes to several shards in parts, and whose reply is put together from theirs in the order asked.
///
/// Lives on one loop.
final class SplitRequest {
    let reply: ReplyPromise
    /// For each answer, in the order asked: which part has it.
    private let partOf: [Int]
    /// How many each part has.
    private let counts: [Int]
    private var answers: [[ByteBuffer]]
    private var missing: Int
    private var isOver = false

    /// - Parameter partOf: for each answer the part that brings it; a part's answers come in this order.
    init(reply: ReplyPromise, partOf: [Int], parts: Int) {
        self.reply = reply
        self.partOf = partOf
        var counts = Array(repeating: 0, count: parts)
        for part in partOf { counts[part] += 1 }
        self.counts = counts
        self.answers = Array(repeating: [], count: parts)
        self.missing = parts
    }

    /// A part's reply: an array with an answer for each of its users, or an error, which is then the whole's.
    func give(_ part: Int, _ bytes: ByteBuffer) {
        guard !self.isOver else { return }
        if let limit = self.reply.hold(bytes.readableBytes) {
            return self.end(
                with: ByteBuffer(
                    string:
                        "-\(ErrorCode.error.rawValue) the reply is larger than \(limit) bytes; ask for less at once\r\n"
                )
            )
        }
        guard let pieces = Self.elements(of: bytes), pieces.count == self.counts[part] else {
            return self.end(with: bytes)
        }
        self.answers[part] = pieces
        self.missing -= 1
        guard self.missing == 0 else { return }
        var next = Array(repeating: 0, count: self.answers.count)
        let bytes = self.answers.reduce(0) { $0 + $1.reduce(0) { $0 + $1.readableBytes } }
        var whole = ByteBufferAllocator().buffer(capacity: bytes + 24)
        whole.writeString("*\(self.partOf.count)\r\n")
        for part in self.partOf {
            whole.writeImmutableBuffer(self.answers[part][next[part]])
            next[part] += 1
        }
        self.end(with: whole)
    }

    func end(with bytes: ByteBuffer) {
        guard !self.isOver else { return }
        self.isOver = true
        self.answers = []
        self.reply.fulfilNow(bytes)
    }

    /// The elements of an array, each as it came; nil for another reply. O(bytes).
    static func elements(of bytes: ByteBuffer) -> [ByteBuffer]? {
        guard bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) == UInt8(ascii: "*"),
            let end = bytes.readableBytesView.firstIndex(of: UInt8(ascii: "\n"))
        else { return nil }
        var pieces: [ByteBuffer] = []
        var scanner = ReplyScanner()
        var rest = bytes
        rest.moveReaderIndex(to: end + 1)
        while rest.readableBytes > 0 {
            var position = 0
            let isWhole = try? rest.withUnsafeReadableBytes { try scanner.next($0, from: &position) != nil }
            guard isWhole == true, let piece = rest.readSlice(length: position) else { return nil }
            pieces.append(piece)
        }
        return pieces
    }
}
