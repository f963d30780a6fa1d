import AnnexCore
import AnnexWire
import NIOCore
import NIOPosix
import Synchronization

/// What a connection command asks of its connection.
enum CommandOutcome {
    case done
    case close
    /// Run on a deferred thread.
    case deferred(@Sendable (inout ReplyWriter) -> Void)
    /// The reply's bytes come from other loops or from a timer.
    case later(EventLoopFuture<ByteBuffer>)
}

extension ConnectionHandler {
    /// Answers `request`. `start` and the result are uptime in nanoseconds, so that one clock reading serves as the end
    /// of this command and the start of the next.
    func answer(startingAt start: UInt64) -> UInt64 {
        let from = self.reply.buffer.writerIndex
        self.loop.metrics.commandsProcessed &+= 1
        let found: CommandSpecification
        let position: Int
        switch self.loop.shared.table.lookup(self.request) {
        case .unknown:
            self.reply.error(code: "ERR", self.unknownCommand())
            return self.refused(from: from, position: nil)
        case .wrongArity(let name, let place):
            self.reply.error(code: "ERR", "wrong number of arguments for '\(name)' command")
            return self.refused(from: from, position: place)
        case .command(let specification, let place):
            found = specification
            position = place
        }
        self.lastCommand = position
        guard self.state.authenticated || found.isAllowedBeforeAuthentication else {
            self.reply.error(code: "NOAUTH", "Authentication required.")
            return self.refused(from: from, position: position)
        }
        if !found.subcommands.isEmpty, self.loop.shared.table.answerSubcommand(of: found, self.request, &self.reply) {
            let now = NIODeadline.now().uptimeNanoseconds
            self.finishReply(from: from, position: position, start: start, now: now)
            return now
        }
        if found.isAboutUser, self.loop.cluster != nil, self.isMisdirected(found) {
            guard self.owed.isEmpty else {
                // Behind those before it, like any reply.
                self.loop.metrics.commands[position].rejected &+= 1
                self.queueReply(from: from, position: position, start: start)
                return NIODeadline.now().uptimeNanoseconds
            }
            return self.refused(from: from, position: position)
        }
        let outcome: CommandOutcome
        if found.owner == .connection {
            outcome = self.connectionCommand(found.id)
            self.reply.version = self.state.respVersion
        } else {
            switch self.loop.handler.handle(found.id, self.request, connection: &self.state, reply: &self.reply) {
            case .done: outcome = .done
            case .close: outcome = .close
            case .deferred(let work): outcome = .deferred(work)
            case .later(let work):
                self.owed.company = found.company
                self.owed.requestBytes += self.request.bytes.readableBytes
                return self.runLater(work, position: position, start: start)
            }
        }
        switch outcome {
        case .done: break
        case .close: self.finishAfterThis()
        case .deferred(let work): return self.runDeferred(work, from: from, position: position, start: start)
        case .later(let future):
            self.wait(for: position, since: start)
            future.assumeIsolated().whenComplete { result in self.completed(self.bytes(of: result)) }
            return NIODeadline.now().uptimeNanoseconds
        }
        let now = NIODeadline.now().uptimeNanoseconds
        guard self.owed.isEmpty else {
            self.queueReply(from: from, position: position, start: start)
            return now
        }
        self.finishReply(from: from, position: position, start: start, now: now)
        return now
    }

    private func bytes(of result: Result<ByteBuffer, any Error>) -> ByteBuffer {
        switch result {
        case .success(let buffer): return buffer
        case .failure:
            var writer = ReplyWriter(version: self.state.respVersion, buffer: ByteBuffer())
            writer.error(code: "ERR", "the server is shutting down")
            return writer.buffer
        }
    }

    private func refused(from: Int, position: Int?) -> UInt64 {
        if let position { self.loop.metrics.commands[position].rejected &+= 1 }
        self.countError(from: from)
        self.applyReplyMode(from: from)
        return NIODeadline.now().uptimeNanoseconds
    }

    /// The text that tools match, with the first arguments as they came, made printable.
    private func unknownCommand() -> String {
        let name = self.request.withArgument(0) { Printable.escape($0) }
        var text = "unknown command '\(name)', with args beginning with: "
        for index in 1..<max(min(self.request.count, 21), 1) where text.utf8.count < 256 {
            text += "'" + self.request.withArgument(index) { Printable.escape($0) } + "' "
        }
        return text
    }

    // MARK: Deferred

    private func runDeferred(
        _ work: @escaping @Sendable (inout ReplyWriter) -> Void,
        from: Int,
        position: Int,
        start: UInt64
    ) -> UInt64 {
        let shared = self.loop.shared
        let (_, jobs) = shared.deferredJobs.add(1, ordering: .relaxed)
        guard jobs <= shared.configuration.maximumDeferred else {
            shared.deferredJobs.subtract(1, ordering: .relaxed)
            self.reply.buffer.moveWriterIndex(to: from)
            self.reply.error(code: "OVERLOADED", "too many long commands are waiting; try again later")
            let now = NIODeadline.now().uptimeNanoseconds
            self.finishReply(from: from, position: position, start: start, now: now)
            return now
        }
        self.wait(for: position, since: start)
        self.waitingArguments = self.slowlogArguments(position)
        let version = self.state.respVersion
        shared.threadPool.submit { state in
            var writer = ReplyWriter(version: version, buffer: ByteBufferAllocator().buffer(capacity: 1_024))
            if case .active = state {
                work(&writer)
            } else {
                writer.error(code: "ERR", "the server is shutting down")
            }
            shared.deferredJobs.subtract(1, ordering: .relaxed)
            self.completed(writer.buffer)
        }
        return NIODeadline.now().uptimeNanoseconds
    }

    /// Has somebody else make the reply. Commands that may follow go on meanwhile.
    private func runLater(_ work: @Sendable (LateReply) -> Void, position: Int, start: UInt64) -> UInt64 {
        let number = self.owed.add(position: position, start: start)
        work(LateReply(self, number: number))
        return NIODeadline.now().uptimeNanoseconds
    }

    /// Takes back a reply that was made at once, as others are owed before it.
    private func queueReply(from: Int, position: Int, start: UInt64) {
        let length = self.reply.buffer.writerIndex - from
        let bytes = self.reply.buffer.getSlice(at: from, length: length) ?? ByteBuffer()
        let copy = ByteBuffer(bytes: bytes.readableBytesView)
        self.reply.buffer.moveWriterIndex(to: from)
        _ = self.owed.add(position: position, start: start) { $0.buffer.writeImmutableBuffer(copy) }
    }

    // MARK: After a reply

    /// Checks the size of the reply that begins at `from`, counts it, and drops it if the client asked for none.
    func finishReply(from: Int, position: Int, start: UInt64, now: UInt64) {
        let limit = self.loop.shared.configuration.outputBufferBytes
        if self.reply.buffer.writerIndex - from > limit {
            self.reply.buffer.moveWriterIndex(to: from)
            self.reply.error(code: "ERR", "the reply is larger than \(limit) bytes; ask for less at once")
        }
        let failed = self.countError(from: from)
        let nanoseconds = Int(clamping: now &- start)
        self.loop.metrics.commands[position].add(nanoseconds, failed: failed)
        if nanoseconds >= self.loop.slowNanoseconds { self.logSlow(position, nanoseconds) }
        self.waitingArguments = nil
        self.applyReplyMode(from: from)
    }

    /// Counts the reply that begins at `from` if it is an error.
    @discardableResult
    private func countError(from: Int) -> Bool {
        let buffer = self.reply.buffer
        guard buffer.getInteger(at: from, as: UInt8.self) == UInt8(ascii: "-") else { return false }
        let length = min(buffer.writerIndex - from - 1, 32)
        let head = buffer.getBytes(at: from + 1, length: max(length, 0)) ?? []
        let code = head.prefix { ($0 >= 65 && $0 <= 90) || ($0 >= 48 && $0 <= 57) }
        self.loop.metrics.countError(String(decoding: code, as: UTF8.self))
        return true
    }

    private func applyReplyMode(from: Int) {
        switch self.replyMode {
        case .on: break
        case .off: self.reply.buffer.moveWriterIndex(to: from)
        case .skipNext:
            self.replyMode = .skipThis
            self.reply.buffer.moveWriterIndex(to: from)
        case .skipThis:
            self.replyMode = .on
            self.reply.buffer.moveWriterIndex(to: from)
        }
    }

    // MARK: Slow log

    private func logSlow(_ position: Int, _ nanoseconds: Int) {
        let shared = self.loop.shared
        self.loop.slowlog.append(
            Slowlog.Entry(
                id: shared.nextSlowlogEntry.add(1, ordering: .relaxed).oldValue,
                time: WallClock.seconds(),
                microseconds: nanoseconds / 1_000,
                arguments: self.waitingArguments ?? self.slowlogArguments(position),
                address: self.state.address,
                name: self.state.name
            )
        )
    }

    private func slowlogArguments(_ position: Int) -> [String] {
        let name = self.loop.shared.table.specifications[position].name
        if name == "auth" || name == "hello" { return [name, "(arguments left out)"] }
        let count = self.request.count
        let shown = count > Slowlog.maximumArguments ? Slowlog.maximumArguments - 1 : count
        var arguments = (0..<shown).map { index in
            self.request.withArgument(index) { bytes in
                Printable.escape(bytes, limit: Slowlog.maximumArgumentBytes)
            }
        }
        if shown < count { arguments.append("... (\(count - shown) more arguments)") }
        return arguments
    }
}

extension LoopMetrics.Command {
    mutating func add(_ nanoseconds: Int, failed: Bool) {
        self.calls &+= 1
        self.nanoseconds &+= nanoseconds
        if failed { self.failed &+= 1 }
        self.histogram.add(nanoseconds)
    }
}
