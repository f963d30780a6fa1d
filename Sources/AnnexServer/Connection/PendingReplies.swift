import AnnexWire
import NIOCore

/// Replies that others owe a connection, in the order of its commands: what comes early waits for those before it.
///
/// Counts the bytes that are held for them: the requests, from parsing until the reply is gone, and what has come of the
/// replies.
package struct PendingReplies {
    /// Holds the command that waits.
    struct Command {
        /// The command stands at this index of the table of commands.
        let index: Int
        /// Says when the command began, as uptime in nanoseconds.
        let start: UInt64
        /// Held for the request.
        var requestBytes = 0
        /// Holds the arguments for the slow log. It is nil where the request is not kept.
        var arguments: [String]?
        /// Runs elsewhere; cancelled when the connection closes.
        var work: WorkQueue.Job?
    }

    struct Entry {
        fileprivate(set) var command: Command
        fileprivate var isComplete = false
        fileprivate var write: ReplyPromise.Writing?
        /// The part of a reply that has come as bytes and was not passed on.
        fileprivate var bytes: ByteBuffer?
        /// Counts the bytes that others hold to make the reply.
        fileprivate var heldElsewhere = 0
    }

    private var entries: [Entry] = []
    /// Replies that went out since the connection began: the number of the first that waits.
    private var gone = 0
    /// The first that waits stands at this index.
    private var head = 0

    var count: Int { self.entries.count - self.head }
    package var isEmpty: Bool { self.count == 0 }
    /// Held for the requests.
    private(set) var requestBytes = 0
    /// Held for replies: what has come and waits for those before it, and what others gather.
    private(set) var replyBytes = 0
    /// Holds the class of the commands that wait; all are of one.
    private(set) var pipelineClass = CommandSpecification.PipelineClass.alone

    /// Returns the number under which the next reply that is added is to be given.
    var nextNumber: Int { self.gone + self.count }

    // MARK: In

    /// Returns the number under which the reply is to be given.
    mutating func add(_ command: Command, _ pipelineClass: CommandSpecification.PipelineClass) -> Int {
        defer { self.entries.append(Entry(command: command)) }
        self.requestBytes += command.requestBytes
        self.pipelineClass = pipelineClass
        return self.nextNumber
    }

    /// Adds a reply that was made at once and waits for those before it.
    mutating func add(_ command: Command, answered bytes: ByteBuffer) {
        self.entries.append(Entry(command: command, isComplete: true, bytes: bytes))
        self.requestBytes += command.requestBytes
        self.replyBytes += bytes.readableBytes
    }

    /// Completes a reply, once for each number.
    mutating func complete(_ number: Int, _ write: @escaping ReplyPromise.Writing) {
        guard let index = self.index(number) else { return }
        self.entries[index].write = write
        self.entries[index].isComplete = true
    }

    /// Adds a piece of a reply: the last one, or one of several.
    mutating func complete(_ number: Int, _ bytes: ByteBuffer, isLast: Bool) {
        guard let index = self.index(number) else { return }
        self.replyBytes += bytes.readableBytes
        if self.entries[index].bytes == nil {
            self.entries[index].bytes = bytes
        } else {
            self.entries[index].bytes?.writeImmutableBuffer(bytes)
        }
        if isLast { self.entries[index].isComplete = true }
    }

    /// Returns how many bytes others hold for the reply now; nil where it is not owed any more.
    mutating func hold(_ number: Int, _ change: Int) -> Int? {
        guard let index = self.index(number) else { return nil }
        self.entries[index].heldElsewhere += change
        self.replyBytes += change
        return self.entries[index].heldElsewhere
    }

    /// Tells whether the reply has not been given yet. Of a connection that is closed none is owed.
    func owes(_ number: Int) -> Bool { self.index(number).map { !self.entries[$0].isComplete } ?? false }

    /// Keeps the work that the reply waits for now, which is cancelled where the connection closes.
    mutating func setWork(_ job: WorkQueue.Job, of number: Int) {
        if let index = self.index(number) { self.entries[index].command.work = job }
    }

    private func index(_ number: Int) -> Int? {
        let index = self.head + number - self.gone
        return index >= self.head && index < self.entries.count ? index : nil
    }

    // MARK: Out

    enum Head {
        /// Nothing of the first has come that must go out now.
        case none
        /// The first has come whole.
        case whole(Command)
        /// Enough of the first has come that it goes on before the rest.
        case piece
    }

    /// - Parameter pieceBytes: from here on a reply goes on in pieces.
    func next(pieceBytes: Int) -> Head {
        guard self.head < self.entries.count else { return .none }
        let first = self.entries[self.head]
        if first.isComplete { return .whole(first.command) }
        return first.bytes?.readableBytes ?? 0 >= pieceBytes ? .piece : .none
    }

    /// Takes what has come of the first as bytes.
    mutating func takePiece() -> ByteBuffer? {
        guard self.head < self.entries.count, let bytes = self.entries[self.head].bytes else { return nil }
        self.entries[self.head].bytes = nil
        self.replyBytes -= bytes.readableBytes
        return bytes
    }

    /// Takes the first, which is complete. Returns its closure, where it came as one.
    mutating func removeFirst() -> ReplyPromise.Writing? {
        let first = self.entries[self.head]
        self.requestBytes -= first.command.requestBytes
        self.replyBytes -= (first.bytes?.readableBytes ?? 0) + first.heldElsewhere
        self.entries[self.head] = Entry(command: Command(index: first.command.index, start: 0))
        self.head += 1
        self.gone += 1
        if self.isEmpty {
            self.entries.removeAll(keepingCapacity: self.entries.capacity <= 1_024)
            self.head = 0
        } else if self.head >= 1_024 {
            // A client may never let the queue run dry, so the front is removed now and then.
            self.entries.removeFirst(self.head)
            self.head = 0
        }
        return first.write
    }

    /// The connection is closed: work that has not begun is dropped.
    mutating func removeAll() {
        for entry in self.entries[self.head...] { entry.command.work?.cancel() }
        self.gone += self.count
        self.entries = []
        self.head = 0
        self.requestBytes = 0
        self.replyBytes = 0
    }
}
