import AnnexWire
import NIOCore

/// Replies that others owe a connection, in the order of its commands: what comes early waits for those before it.
struct OwedReplies {
    struct Owed {
        /// Of the command in the table.
        let position: Int
        let start: UInt64
        fileprivate(set) var isComplete = false
        fileprivate var write: LateReply.Writing?
        /// What has come of a reply that comes as bytes, and was not passed on.
        fileprivate var bytes: ByteBuffer?

        /// Bytes that wait.
        var count: Int { self.bytes?.readableBytes ?? 0 }
    }

    private var waiting: [Owed] = []
    /// How many went out, so that each has a number of its own.
    private var gone = 0
    private var next = 0

    var count: Int { self.waiting.count - self.next }
    var isEmpty: Bool { self.count == 0 }
    /// What has come and waits for those before it.
    private(set) var bytes = 0
    /// Bytes of the requests; zero again when nothing is owed.
    var requestBytes = 0
    /// Of the commands that are owed; all are of one.
    var company = CommandSpecification.Company.alone

    /// Returns the number to give it under.
    mutating func add(position: Int, start: UInt64, write: LateReply.Writing? = nil) -> Int {
        self.waiting.append(Owed(position: position, start: start, isComplete: write != nil, write: write))
        return self.gone + self.count - 1
    }

    /// Once for each number.
    mutating func give(_ number: Int, _ write: @escaping LateReply.Writing) {
        guard let place = self.place(number) else { return }
        self.waiting[place].write = write
        self.waiting[place].isComplete = true
    }

    /// In one piece or several.
    mutating func give(_ number: Int, _ bytes: ByteBuffer, isLast: Bool) {
        guard let place = self.place(number) else { return }
        self.bytes += bytes.readableBytes
        if self.waiting[place].bytes == nil {
            self.waiting[place].bytes = bytes
        } else {
            self.waiting[place].bytes?.writeImmutableBuffer(bytes)
        }
        if isLast { self.waiting[place].isComplete = true }
    }

    private func place(_ number: Int) -> Int? {
        let place = self.next + number - self.gone
        return place >= self.next && place < self.waiting.count ? place : nil
    }

    var first: Owed? { self.isEmpty ? nil : self.waiting[self.next] }

    /// Writes what has come of the first. There is one.
    mutating func writeFirst(into reply: inout ReplyWriter) {
        if let write = self.waiting[self.next].write {
            write(&reply)
        } else if let bytes = self.waiting[self.next].bytes {
            self.bytes -= bytes.readableBytes
            reply.buffer.writeImmutableBuffer(bytes)
            self.waiting[self.next].bytes = nil
        }
    }

    /// Writes the rest of the first, which is complete and owed no more.
    mutating func popFirst(into reply: inout ReplyWriter) {
        self.writeFirst(into: &reply)
        self.waiting[self.next].write = nil
        self.next += 1
        self.gone += 1
        if self.isEmpty {
            self.waiting.removeAll(keepingCapacity: self.waiting.capacity <= 1_024)
            self.next = 0
            self.requestBytes = 0
        }
    }

    mutating func removeAll() {
        self.bytes = 0
        self.requestBytes = 0
        self.gone += self.count
        self.waiting = []
        self.next = 0
    }
}
