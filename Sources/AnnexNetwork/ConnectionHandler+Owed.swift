import AnnexWire
import NIOCore

/// Replies that others make, written in the order of their commands.
extension ConnectionHandler: ReplyTaker {
    func deliver(_ write: @escaping LateReply.Writing, number: Int) {
        self.loop.deliver(write, number: number, to: self)
    }

    func takeOwed(_ number: Int, _ write: @escaping LateReply.Writing) {
        self.owed.give(number, write)
        self.writeOwed()
    }

    func take(_ bytes: ByteBuffer, number: Int, isLast: Bool) {
        guard self.context != nil else { return }
        self.owed.give(number, bytes, isLast: isLast)
        self.writeOwed()
        self.settleOwed()
    }

    /// What waits for replies before it counts as held for the client.
    private func settleOwed() {
        guard self.context != nil, self.owed.bytes != self.owedHeld else { return }
        let change = self.owed.bytes - self.owedHeld
        self.owedHeld = self.owed.bytes
        self.loop.heldBytesChanged(by: change)
        let limit = self.loop.shared.configuration.outputBufferBytes
        if self.owedHeld > limit { self.evict("more than \(limit) bytes of replies wait for one before them") }
    }

    func cut() { self.closeNow() }

    /// Writes what has come of the first that is owed, then of the next, as long as they are complete. Of a large reply the
    /// pieces go on as they come.
    private func writeOwed() {
        guard let context else { return }
        if self.reply.buffer.capacity == 0 { self.reply.buffer = self.loop.borrowBuffer() }
        let now = NIODeadline.now()
        while let first = self.owed.first {
            guard first.isComplete else {
                if first.count >= Self.flushBytes, self.replyMode == .on { self.passOn(context) }
                break
            }
            let from = self.reply.buffer.writerIndex
            self.owed.popFirst(into: &self.reply)
            // Only the slow log asks for them.
            let isSlow = Int(clamping: now.uptimeNanoseconds &- first.start) >= self.loop.slowNanoseconds
            self.waitingArguments =
                !isSlow
                ? nil
                : [
                    self.loop.shared.table.specifications[first.position].name, "(arguments are not kept)",
                ]
            self.finishReply(from: from, position: first.position, start: first.start, now: now.uptimeNanoseconds)
        }
        guard self.owed.isEmpty else {
            // Those behind may take a while, and a client may need what is here before it asks on.
            if self.reply.buffer.readableBytes > 0 { self.flush(context) }
            return
        }
        self.lastActive = now
        _ = self.machine.replyArrived()
        if self.finishAfterWaiting { self.machine.finish() }
        self.serveOn(context)
    }

    private func passOn(_ context: ChannelHandlerContext) {
        self.owed.writeFirst(into: &self.reply)
        self.flush(context)
        if self.reply.buffer.capacity == 0 { self.reply.buffer = self.loop.borrowBuffer() }
    }
}
