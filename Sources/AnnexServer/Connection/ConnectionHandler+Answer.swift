import AnnexCore
import AnnexWire
import NIOCore
import Synchronization

/// One command: looked up, checked, answered or handed on.
extension ConnectionHandler {
    /// Answers `request`. `start` and the result are uptime in nanoseconds, so that one clock reading serves as the end
    /// of this command and the start of the next.
    func answer(startingAt start: UInt64) -> UInt64 {
        let budget = self.loop.shared.replyBudget()
        let from = self.reply.begin(budget: budget)
        self.loop.metrics.commandsProcessed &+= 1
        self.state.deadline = self.nextDeadline
        self.nextDeadline = nil
        let table = self.loop.shared.table
        let found: CommandSpecification
        let index: Int
        let id: CommandID
        switch table.lookup(self.request) {
        case .refused(let failure, let position):
            self.reply.error(failure)
            return self.refused(from: from, command: position)
        case .command(let specification, let position, let asked):
            found = specification
            index = position
            id = asked
        }
        self.lastCommand = index
        guard self.state.authenticated || found.isAllowedBeforeAuthentication else {
            self.reply.error(code: .noAuth, "Authentication required.")
            return self.refused(from: from, command: index)
        }
        let command = PendingReplies.Command(index: index, start: start)
        let batched = self.machine.transaction.dispositionOfChange()
        let isForeign =
            found.isAboutUser && self.loop.cluster != nil && batched == nil && self.isMisdirected(found, self.request)
        let isRefused = isForeign || self.isExpired(found)
        if isRefused { self.loop.metrics.commands[index].rejected &+= 1 }
        if isRefused, self.machine.pending.isEmpty { return self.refused(from: from, command: nil) }
        let disposition: Disposition =
            if isRefused { .done } else if let batched { batched } else { self.dispatch(id, of: found) }
        switch disposition {
        case .done: break
        case .close: self.machine.finishAfterReplies()
        case .elsewhere(let workClass, let work):
            return self.runElsewhere(workClass, work, command, found, from: from)
        case .pending(let bytes, let begin):
            return self.runPending(bytes, begin, command, found)
        }
        let now = NIODeadline.now().uptimeNanoseconds
        self.replaceOverBudget(from: from, budget: budget)
        if self.machine.pending.isEmpty {
            self.finishReply(command, from: from, budget: budget, now: now, isCurrent: true)
        } else {
            self.queueReply(command, from: from)
        }
        return now
    }

    /// Whether the deadline of the command has passed; the answer is written then. A second DEADLINE takes the first's place.
    private func isExpired(_ found: CommandSpecification) -> Bool {
        guard let late = WallClock.millisecondsPast(self.state.deadline), found.pipelineClass != .prefix else {
            return false
        }
        ServerShared.writeExpired(late, &self.reply)
        return true
    }

    private func dispatch(_ id: CommandID, of found: CommandSpecification) -> Disposition {
        if self.isKept(found) { return .done }
        if let most = found.maximumCount, self.request.count > most {
            self.reply.error(.wrongArity(found.name))
            return .done
        }
        if id == .handler(.ready), self.loop.isDraining || self.loop.shared.isLeaving.load(ordering: .relaxed) {
            self.reply.error(code: .loading, "not ready: draining, the server ends")
            return .done
        }
        switch id {
        case .help:
            CommandTable.writeHelp(of: found, &self.reply)
            return .done
        case .container:
            self.reply.error(.unknownSubcommand(of: found.name, self.request))
            return .done
        case .handler(let id):
            return self.loop.handler.handle(
                id,
                self.inbound.request,
                connection: &self.state,
                reply: &self.outbound.writer
            )
        case .connection(let id):
            let disposition = self.connectionCommand(id)
            self.reply.version = self.state.respVersion
            return disposition
        }
    }

    private func refused(from: Int, command: Int?) -> UInt64 {
        self.machine.transaction.refused()
        if let command { self.loop.metrics.commands[command].rejected &+= 1 }
        self.countError(from: from)
        self.outbound.applyMode(from: from)
        return NIODeadline.now().uptimeNanoseconds
    }

    // MARK: Elsewhere and later

    /// Has another thread make the reply. Nothing else of the connection runs meanwhile.
    private func runElsewhere(
        _ workClass: WorkClass,
        _ work: @escaping @Sendable (inout ReplyWriter, StopSignal) -> Void,
        _ command: PendingReplies.Command,
        _ found: CommandSpecification,
        from: Int
    ) -> UInt64 {
        let shared = self.loop.shared
        let version = self.state.respVersion
        let number = self.machine.pending.nextNumber
        var command = command
        command.requestBytes = self.request.pinnedBytes
        command.arguments = self.slowlogArguments(command.index)
        if shared.hasRoom(for: command.requestBytes) {
            command.work = shared.work.submit(workClass, expiry: self.state.deadline) { refusal, stop in
                let reply = shared.makeReply(version, refusal, stop, work)
                self.loop.eventLoop.execute {
                    shared.release(reply.readableBytes)
                    self.fulfilNow(number, reply, isLast: true)
                }
            }
        }
        guard command.work != nil else {
            self.reply.rewind(to: from)
            ServerShared.writeTooManyJobs(&self.reply)
            let now = NIODeadline.now().uptimeNanoseconds
            self.finishReply(command, from: from, budget: Self.flushBytes, now: now, isCurrent: true)
            return now
        }
        _ = self.machine.pending.add(command, .alone)
        self.machine.waitForReplies()
        self.settlePending()
        return NIODeadline.now().uptimeNanoseconds
    }

    /// Has somebody else make the reply. Commands that may follow go on meanwhile.
    private func runPending(
        _ bytes: Int,
        _ begin: @Sendable (ReplyPromise) -> Void,
        _ command: PendingReplies.Command,
        _ found: CommandSpecification
    ) -> UInt64 {
        var command = command
        command.requestBytes = bytes
        let number = self.machine.pending.add(command, found.pipelineClass)
        if found.pipelineClass == .alone { self.machine.waitForReplies() }
        self.settlePending()
        begin(ReplyPromise(self, number: number))
        return NIODeadline.now().uptimeNanoseconds
    }

    /// Takes back a reply that was made at once, as others are owed before it.
    private func queueReply(_ command: PendingReplies.Command, from: Int) {
        let bytes = ByteBuffer(bytes: self.reply.buffer.readableBytesView[from...])
        self.reply.rewind(to: from)
        self.machine.pending.add(command, answered: bytes)
        self.settlePending()
    }

    // MARK: After a reply

    /// Ends the reply that begins at `from`: one that did not fit becomes an error, it is counted, and dropped if the client
    /// asked for none.
    ///
    /// - Parameter isCurrent: whether `request` is still the command's.
    func finishReply(_ command: PendingReplies.Command, from: Int, budget: Int, now: UInt64, isCurrent: Bool) {
        self.replaceOverBudget(from: from, budget: budget)
        self.count(command, now: now, failed: self.countError(from: from), isCurrent: isCurrent)
        self.outbound.applyMode(from: from)
    }

    private func replaceOverBudget(from: Int, budget: Int) {
        guard self.reply.isOverBudget else { return }
        self.reply.rewind(to: from)
        self.loop.shared.writeOverBudget(budget, &self.reply)
    }

    func count(_ command: PendingReplies.Command, now: UInt64, failed: Bool, isCurrent: Bool) {
        let nanoseconds = Int(clamping: now &- command.start)
        self.loop.metrics.commands[command.index].add(nanoseconds, failed: failed)
        if nanoseconds >= self.loop.slowNanoseconds { self.logSlow(command, nanoseconds, isCurrent) }
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

    // MARK: Slow log

    private func logSlow(_ command: PendingReplies.Command, _ nanoseconds: Int, _ isCurrent: Bool) {
        let shared = self.loop.shared
        let arguments =
            command.arguments
            ?? (isCurrent
                ? self.slowlogArguments(command.index)
                : [shared.table.specifications[command.index].name, "(arguments are not kept)"])
        self.loop.slowlog.append(
            Slowlog.Entry(
                id: shared.nextSlowlogEntry.add(1, ordering: .relaxed).oldValue,
                time: WallClock.seconds(),
                microseconds: nanoseconds / 1_000,
                arguments: arguments,
                address: self.state.address,
                name: self.state.name
            )
        )
    }

    private func slowlogArguments(_ index: Int) -> [String] {
        let name = self.loop.shared.table.specifications[index].name
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
