import AnnexWire
import NIOCore

/// Replies that others make, written in the order of their commands.
extension ConnectionHandler: ReplySink {
    func fulfil(_ number: Int, _ write: @escaping ReplyPromise.Writing) {
        self.loop.deliver(write, number: number, to: self)
    }

    /// Takes a reply that was given from another thread. Runs on the loop.
    func delivered(_ number: Int, _ write: @escaping ReplyPromise.Writing) {
        self.machine.pending.complete(number, write)
        self.writePending()
    }

    func fulfilNow(_ number: Int, _ bytes: ByteBuffer, isLast: Bool) {
        guard self.context != nil else { return }
        self.machine.pending.complete(number, bytes, isLast: isLast)
        self.writePending()
        let limit = self.loop.shared.configuration.outputBufferBytes
        if self.held.replies > limit { self.evict("more than \(limit) bytes of replies wait for one before them") }
    }

    func hold(_ number: Int, _ change: Int) -> Int? {
        guard let bytes = self.machine.pending.hold(number, change) else { return nil }
        self.settlePending()
        let limit = self.loop.shared.configuration.outputBufferBytes
        return bytes <= limit ? nil : limit
    }

    func elsewhere(_ number: Int, _ work: @escaping ReplyPromise.Work) {
        guard self.machine.pending.owes(number) else { return }
        let shared = self.loop.shared
        let job = shared.work.submit(.query) { refusal, _ in
            if let refusal { return self.fulfil(number) { shared.writeRefusal(refusal, &$0) } }
            let next = work()
            self.loop.eventLoop.execute { if self.machine.pending.owes(number) { next() } }
        }
        guard let job else { return self.fulfil(number) { ServerShared.writeTooManyJobs(&$0) } }
        self.machine.pending.setWork(job, of: number)
    }

    func cut() { self.closeNow() }

    /// Counts the bytes held for commands that wait as held for the client.
    func settlePending() {
        guard self.context != nil else { return }
        let (requests, replies) = (self.machine.pending.requestBytes, self.machine.pending.replyBytes)
        self.loop.heldBytesChanged(by: self.held.setPending(requests: requests, replies: replies))
    }

    /// Writes what has come of the first reply that is owed, then of the next, as long as they are complete. Of a large
    /// reply the pieces go on as they come.
    private func writePending() {
        guard let context else { return }
        self.borrowBuffer()
        let now = NIODeadline.now()
        while true {
            switch self.machine.pending.next(pieceBytes: Self.flushBytes) {
            case .whole(let command):
                self.write(command, now: now.uptimeNanoseconds, context)
                continue
            case .piece where self.outbound.mode == .on:
                self.flush(context)
                if let bytes = self.machine.pending.takePiece() { self.send(bytes, context) }
                self.borrowBuffer()
            case .piece, .none: break
            }
            break
        }
        self.settlePending()
        guard self.machine.pending.isEmpty else {
            // The replies behind it may take a while, and a client may need what is here before it asks on.
            if self.reply.buffer.readableBytes > 0 { self.flush(context) }
            return
        }
        self.clock.lastActive = now
        self.machine.repliesWentOut()
        self.serveOn(context)
    }

    /// Writes the first reply, which has come whole. A large one goes to the socket as it is.
    private func write(_ command: PendingReplies.Command, now: UInt64, _ context: ChannelHandlerContext) {
        let bytes = self.machine.pending.takePiece()
        let write = self.machine.pending.removeFirst()
        if let bytes, bytes.readableBytes >= Self.flushBytes, self.outbound.mode == .on {
            self.flush(context)
            self.count(command, now: now, failed: false, isCurrent: false)
            self.send(bytes, context)
            self.borrowBuffer()
            return
        }
        let budget = self.loop.shared.replyBudget()
        let start = self.reply.begin(budget: budget)
        if let write { write(&self.reply) } else if let bytes { self.reply.encoded(bytes) }
        self.finishReply(command, from: start, budget: budget, now: now, isCurrent: false)
        if self.reply.buffer.readableBytes >= Self.flushBytes { self.flush(context) }
    }
}
