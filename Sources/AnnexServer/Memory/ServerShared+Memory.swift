import AnnexCore
import AnnexWire
import NIOCore
import Synchronization

/// Memory for all clients together follows `allClientsBytes`: what is made gets a budget before it is made, and who holds
/// most goes first when the limit is passed.
extension ServerShared {
    /// Holds the bytes that any reply may take, however little is left: errors and short answers always get through.
    private static let leastBudget = 64 << 10

    /// Returns how many bytes one reply may take now. It costs one atomic load.
    @inline(__always)
    func replyBudget() -> Int {
        let left = self.configuration.allClientsBytes - self.heldBytes.load(ordering: .relaxed)
        return min(self.configuration.outputBufferBytes, max(left, Self.leastBudget))
    }

    /// Tells whether a request of so many bytes may be kept until somebody has time for it.
    func hasRoom(for bytes: Int) -> Bool {
        self.heldBytes.load(ordering: .relaxed) + bytes <= self.configuration.allClientsBytes
            || bytes <= Self.leastBudget
    }

    /// Writes the error in place of a reply that would have been larger than its budget.
    func writeOverBudget(_ budget: Int, _ reply: inout ReplyWriter) {
        let limit = self.configuration.outputBufferBytes
        guard budget < limit else {
            return reply.error(code: .error, "the reply is larger than \(limit) bytes; ask for less at once")
        }
        self.makeRoomForReply()
        reply.error(
            code: .overloaded,
            "all clients together hold so much that a reply may take \(budget) bytes now; ask for less at once, or try again "
                + "in a moment"
        )
    }

    /// Makes a reply on another thread. Its bytes count as held for clients until they are given to `release`.
    func makeReply(
        _ version: RESPVersion,
        _ refusal: WorkQueue.Refusal?,
        _ stop: StopSignal,
        _ work: (inout ReplyWriter, StopSignal) -> Void
    ) -> ByteBuffer {
        let budget = self.replyBudget()
        self.heldBytes.add(budget, ordering: .relaxed)
        let bytes = self.rendered(version, budget: budget) { reply in
            if let refusal { self.writeRefusal(refusal, &reply) } else { self.run(work, stop, &reply) }
        }
        self.heldBytes.subtract(budget - bytes.readableBytes, ordering: .relaxed)
        return bytes
    }

    /// Writes the answer to a command that waited for a thread and did not run.
    func writeRefusal(_ refusal: WorkQueue.Refusal, _ reply: inout ReplyWriter) {
        switch refusal {
        case .shutdown: reply.error(code: .error, "the server is shutting down, nothing was done: ask another server")
        case .expired(let late): Self.writeExpired(late, &reply)
        case .late:
            reply.error(
                code: .timeout,
                "the command waited \(self.configuration.workPatience) for a thread; nothing was done: try again later"
            )
        }
    }

    /// Writes the answer to a command for which `WorkQueue` has no room.
    static func writeTooManyJobs(_ reply: inout ReplyWriter) {
        reply.error(code: .overloaded, "too many long commands are waiting; try again later")
    }

    /// Writes the answer to a command that could not begin before its deadline.
    static func writeExpired(_ milliseconds: Int64, _ reply: inout ReplyWriter) {
        reply.error(
            code: .timeout,
            "the deadline given for the command had passed \(milliseconds) ms before it could begin; nothing was done, nothing "
                + "was stored: send it again with a later DEADLINE"
        )
    }

    /// Runs the work. Bytes that a stopped work wrote are no reply.
    private func run(
        _ work: (inout ReplyWriter, StopSignal) -> Void,
        _ stop: StopSignal,
        _ reply: inout ReplyWriter
    ) {
        let start = reply.position
        work(&reply, stop)
        guard stop.wasHeeded else { return }
        reply.rewind(to: start)
        reply.error(
            code: .timeout,
            "the command was stopped, as its deadline passed or it took longer than \(self.configuration.workPatience), waiting "
                + "included: ask for less, or for fewer users at a time"
        )
    }

    /// The bytes of a made reply count elsewhere from now on.
    func release(_ bytes: Int) { self.heldBytes.subtract(bytes, ordering: .relaxed) }

    /// Returns a buffer with the reply that `body` writes.
    func rendered(_ version: RESPVersion, _ body: (inout ReplyWriter) -> Void) -> ByteBuffer {
        self.rendered(version, budget: self.replyBudget(), body)
    }

    private func rendered(
        _ version: RESPVersion,
        budget: Int,
        _ body: (inout ReplyWriter) -> Void
    ) -> ByteBuffer {
        let buffer = ByteBufferAllocator().buffer(capacity: 512)
        var writer = ReplyWriter(version: version, budget: budget, buffer: buffer)
        body(&writer)
        if writer.isOverBudget {
            writer.rewind(to: 0)
            self.writeOverBudget(budget, &writer)
        }
        return writer.takeBuffer()
    }

    // MARK: Who goes first

    /// Has `body` close connections from now on where clients hold too much, and call `relieved` when it has: the one
    /// that holds most, until the sum is below the limit; or one of those that take none of their replies.
    func relieve(_ body: @escaping @Sendable (_ onlyStalled: Bool) -> Void) { self.relief.withLock { $0 = body } }

    var isAboveLimit: Bool { self.heldBytes.load(ordering: .relaxed) > self.configuration.allClientsBytes }

    /// Closes the connection that holds most, until the sum is below the limit. Whoever sees that it was passed calls it.
    func makeRoom() { self.beginRelief(onlyStalled: false) }

    /// Closes one of those that take none of their replies, as a reply found no room.
    private func makeRoomForReply() { self.beginRelief(onlyStalled: true) }

    func relieved() { self.isRelieving.store(false, ordering: .relaxed) }

    private func beginRelief(onlyStalled: Bool) {
        guard self.isRelieving.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else {
            return
        }
        guard let body = self.relief.withLock({ $0 }) else { return self.relieved() }
        body(onlyStalled)
    }
}
