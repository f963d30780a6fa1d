import AnnexCore
import AnnexWire
import NIOCore

/// Sends a request to several shards in parts, and puts its reply together from theirs in the order asked.
///
/// Lives on one loop; what takes a loop too long is put together on another thread.
final class SplitRequest {
    /// Replies above this size are put together elsewhere: some 10 ns a byte where answers are short.
    private static let bytesOnLoop = 32 << 10

    let reply: ReplyPromise
    private let partOf: [Int]
    /// Counts the users of each part.
    private let counts: [Int]
    private var parts: [ByteBuffer?]
    private var missing: Int
    private var isOver = false

    /// - Parameter partOf: for each answer the part that brings it; a part's answers come in this order.
    init(reply: ReplyPromise, partOf: [Int], parts: Int) {
        self.reply = reply
        self.partOf = partOf
        var counts = Array(repeating: 0, count: parts)
        for part in partOf { counts[part] += 1 }
        self.counts = counts
        self.parts = Array(repeating: nil, count: parts)
        self.missing = parts
    }

    /// Takes a part's reply: an array with an answer for each of its users, or an error, which is then the whole's.
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
        guard bytes.readableBytesView.starts(with: "*\(self.counts[part])\r\n".utf8) else {
            return self.end(with: bytes)
        }
        self.parts[part] = bytes
        self.missing -= 1
        guard self.missing == 0 else { return }
        let answers = SplitAnswers(parts: self.parts.compactMap { $0 }, partOf: self.partOf, counts: self.counts)
        self.parts = []
        if answers.byteCount <= Self.bytesOnLoop { return self.end(with: answers.merged()) }
        let reply = self.reply
        self.isOver = true
        reply.elsewhere {
            let whole = answers.merged()
            return { reply.fulfilNow(whole) }
        }
    }

    func end(with bytes: ByteBuffer) {
        guard !self.isOver else { return }
        self.isOver = true
        self.parts = []
        self.reply.fulfilNow(bytes)
    }
}

/// The replies of all parts of a request.
struct SplitAnswers: Sendable {
    /// Holds arrays of as many elements as `counts` says.
    let parts: [ByteBuffer]
    /// Gives the part of each answer, in the order asked.
    let partOf: [Int]
    let counts: [Int]

    var byteCount: Int { self.parts.reduce(0) { $0 + $1.readableBytes } }

    /// Returns all answers in the order asked. Each byte is copied once. O(bytes + answers).
    func merged() -> ByteBuffer {
        var ends: [[Int]] = []
        for (part, bytes) in self.parts.enumerated() {
            guard let found = ReplyArray.ends(of: bytes), found.count == self.counts[part] + 1 else {
                return ByteBuffer(
                    string:
                        "-\(ErrorCode.error.rawValue) a shard's answers cannot be told apart; please report this\r\n"
                )
            }
            ends.append(found)
        }
        var offsets = self.counts.map { count in
            var offsets: [Int] = []
            offsets.reserveCapacity(count)
            return offsets
        }
        var size = 0
        for part in self.partOf {
            let next = offsets[part].count
            offsets[part].append(size)
            size += ends[part][next + 1] - ends[part][next]
        }
        var whole = ByteBufferAllocator().buffer(capacity: size + 24)
        whole.writeString("*\(self.partOf.count)\r\n")
        whole.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { out in
            for (part, answer) in self.parts.enumerated() {
                answer.withUnsafeReadableBytes { bytes in
                    for (number, offset) in offsets[part].enumerated() {
                        let element = UnsafeRawBufferPointer(
                            rebasing: bytes[ends[part][number]..<ends[part][number + 1]]
                        )
                        UnsafeMutableRawBufferPointer(rebasing: out[offset..<offset + element.count])
                            .copyMemory(from: element)
                    }
                }
            }
            return size
        }
        return whole
    }
}
