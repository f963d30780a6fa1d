import AnnexCore
import AnnexWire
import NIOCore

/// A request that goes to several shards in parts, and whose reply is put together from theirs in the order asked.
///
/// Lives on one loop.
final class SplitRequest {
    /// A part's reply, and where its elements lie: the first begins at `ends[0]`, each ends at the next.
    private struct Answers {
        let bytes: ByteBuffer
        let ends: [Int]
    }

    let reply: ReplyPromise
    /// For each answer, in the order asked: which part has it.
    private let partOf: [Int]
    /// Counts the users of each part.
    private let counts: [Int]
    private var answers: [Answers?]
    private var missing: Int
    private var isOver = false

    /// - Parameter partOf: for each answer the part that brings it; a part's answers come in this order.
    init(reply: ReplyPromise, partOf: [Int], parts: Int) {
        self.reply = reply
        self.partOf = partOf
        var counts = Array(repeating: 0, count: parts)
        for part in partOf { counts[part] += 1 }
        self.counts = counts
        self.answers = Array(repeating: nil, count: parts)
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
        guard let ends = Self.ends(of: bytes), ends.count == self.counts[part] + 1 else { return self.end(with: bytes) }
        self.answers[part] = Answers(bytes: bytes, ends: ends)
        self.missing -= 1
        if self.missing == 0 { self.end(with: self.merged()) }
    }

    /// All answers in the order asked. Each byte is copied once. O(bytes + answers).
    private func merged() -> ByteBuffer {
        let answers = self.answers.compactMap { $0 }
        var places = self.counts.map { count in
            var places: [Int] = []
            places.reserveCapacity(count)
            return places
        }
        var size = 0
        for part in self.partOf {
            let (ends, next) = (answers[part].ends, places[part].count)
            places[part].append(size)
            size += ends[next + 1] - ends[next]
        }
        var whole = ByteBufferAllocator().buffer(capacity: size + 24)
        whole.writeString("*\(self.partOf.count)\r\n")
        whole.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { out in
            for (part, answer) in answers.enumerated() {
                answer.bytes.withUnsafeReadableBytes { bytes in
                    for (number, place) in places[part].enumerated() {
                        let element = UnsafeRawBufferPointer(
                            rebasing: bytes[answer.ends[number]..<answer.ends[number + 1]]
                        )
                        UnsafeMutableRawBufferPointer(rebasing: out[place..<place + element.count])
                            .copyMemory(from: element)
                    }
                }
            }
            return size
        }
        return whole
    }

    func end(with bytes: ByteBuffer) {
        guard !self.isOver else { return }
        self.isOver = true
        self.answers = []
        self.reply.fulfilNow(bytes)
    }

    /// Where the elements of an array lie in its bytes: the first begins at the first number, each ends at the next; nil for another
    /// reply, and for one that is cut. O(bytes).
    private static func ends(of bytes: ByteBuffer) -> [Int]? {
        bytes.withUnsafeReadableBytes { bytes -> [Int]? in
            guard bytes.first == UInt8(ascii: "*"), let line = bytes.firstIndex(of: UInt8(ascii: "\n")) else {
                return nil
            }
            var scanner = ReplyScanner()
            var position = line + 1
            var ends = [position]
            while position < bytes.count {
                guard (try? scanner.next(bytes, from: &position)) != nil else { return nil }
                ends.append(position)
            }
            return ends
        }
    }

    /// The elements of an array, each as it came; nil for another reply. O(bytes).
    static func elements(of bytes: ByteBuffer) -> [ByteBuffer]? {
        guard let ends = Self.ends(of: bytes) else { return nil }
        return zip(ends, ends.dropFirst()).compactMap { start, end in
            bytes.getSlice(at: bytes.readerIndex + start, length: end - start)
        }
    }
}
