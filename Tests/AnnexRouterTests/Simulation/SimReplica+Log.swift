import AnnexCore
import AnnexLog

/// What the sockets, the disk and the clock around a replication machine do.
extension SimReplica {
    /// Longer than a read that finds nothing waits.
    private static let logPatience = milliseconds(400)

    func connectToLog() {
        self.logConnection += 1
        let connection = self.logConnection
        let link = SimLink(self.toLog)
        self.logLink = link
        let log = self.world.log
        let run = self.run
        link.onServerClosed = { [self] in
            if self.run == run { self.now { self.logEnded(connection, run, "the connection was lost") } }
        }
        link.toServer { [self] in
            guard log.accept(link) else { return link.closeByServer() }
            link.toClient { [self] in
                if self.run == run { self.now { self.fromLog(connection, run, .connected) } }
            }
        }
        self.expectAnswer(connection)
    }

    /// Every exchange must come back in time, or the connection is given up.
    private func expectAnswer(_ connection: Int) {
        let heard = self.heard
        self.after(Self.logPatience) { [self] in
            guard self.logConnection == connection else { return }
            if self.heard == heard {
                self.logEnded(connection, self.run, "it does not answer")
            } else {
                self.expectAnswer(connection)
            }
        }
    }

    private func logEnded(_ connection: Int, _ run: Int, _ reason: String) {
        guard self.logConnection == connection, self.run == run else { return }
        self.logConnection += 1
        self.logLink?.closeByClient()
        self.logLink = nil
        self.handle(.disconnected(reason))
        self.after(milliseconds(50)) { [self] in if self.logLink == nil { self.connectToLog() } }
    }

    private func fromLog(_ connection: Int, _ run: Int, _ event: Machine.Event) {
        guard self.logConnection == connection, self.run == run else { return }
        self.heard += 1
        self.handle(event)
    }

    // MARK: - The machine

    func handle(_ event: Machine.Event) {
        let actions = self.machine.handle(event, at: self.world.clock.milliseconds)
        if self.world.flaw == .acknowledgesBeforeAppend, case .change(let token, _, _, _, _) = event,
            actions.contains(where: { if case .append = $0 { true } else { false } })
        {
            self.acknowledge(token)
        }
        for action in actions { self.perform(action) }
    }

    private func perform(_ action: Machine.Action) {
        switch action {
        case .append(let entry): self.append(entry)
        case .read(let number, let positions): self.read(number, positions)
        case .check(let number, let marks): self.check(number, marks)
        case .claim, .adopt: break
        case .apply(let batch):
            self.applying.append(batch)
            self.commit()
        case .acknowledge(let token, _, _, _): self.acknowledge(token)
        case .refuse(let token, let reason): self.refuse(token, reason)
        }
    }

    private func append(_ entry: LogEntry<SimChange>) {
        self.noteSent()
        guard let link = self.logLink else { return }
        let (connection, run, log) = (self.logConnection, self.run, self.world.log)
        link.toServer { [self] in
            guard log.isUp else { return }
            if self.logConnection != connection { self.world.count(.lateAppend) }
            let position = log.append(entry)
            link.toClient { [self] in
                guard self.run == run else { return }
                self.now { self.fromLog(connection, run, .appended(sequence: entry.key.sequence, position)) }
            }
        }
    }

    private func read(_ number: UInt64, _ positions: [(block: Int, after: LogPosition)]) {
        guard let link = self.logLink else { return }
        let (connection, run, log, slots) = (self.logConnection, self.run, self.world.log, self.world.slots(self.shard))
        link.toServer { [self] in
            log.read(positions, link) { [self] streams in
                let own = streams.map { stream in
                    let entries = stream.entries.map {
                        ReadEntry(position: $0.position, content: slots.contains($0.entry.change.slot) ? $0.entry : nil)
                    }
                    return (stream.block, entries)
                }
                if self.run == run { self.now { self.fromLog(connection, run, .read(number: number, own)) } }
            }
        }
    }

    private func check(_ number: UInt64, _ marks: [(block: Int, mark: LogMark)]) {
        guard let link = self.logLink else { return }
        let (connection, run, log) = (self.logConnection, self.run, self.world.log)
        link.toServer { [self] in
            let facts = marks.map { log.facts($0.block, $0.mark) }
            link.toClient { [self] in
                if self.run == run {
                    self.now { self.fromLog(connection, run, .checked(number: number, facts, log: SimLog.identity)) }
                }
            }
        }
    }

    // MARK: - The disk

    /// Stores what has come so far, all at once; then tells. A kill in between loses all of it.
    private func commit() {
        guard !self.isCommitting, !self.applying.isEmpty else { return }
        self.isCommitting = true
        self.after(microseconds(200 + self.world.random.below(1_500)) + self.slowness) { [self] in
            let batches = self.applying
            self.applying = []
            var events: [Machine.Event] = []
            for batch in batches { self.store(batch, &events) }
            if self.world.random.below(50) == 0 {
                // Stored, and not yet said.
                self.after(milliseconds(2)) { [self] in self.tell(events) }
            } else {
                self.tell(events)
            }
        }
    }

    private func tell(_ events: [Machine.Event]) {
        self.isCommitting = false
        for event in events { self.handle(event) }
        self.commit()
    }

    private func store(_ batch: ApplyBatch<SimChange>, _ events: inout [Machine.Event]) {
        var previous = batch.after
        for entry in batch.entries {
            if self.failingShare > 0, self.world.random.below(100) < self.failingShare {
                self.world.count(.applyFailure)
                events.append(.applyFailed(block: batch.block, "the disk is full"))
                previous = entry.position
                continue
            }
            switch self.state.apply(entry, after: previous, block: batch.block) {
            case .done(let mark, let wasNew):
                events.append(.applied(block: batch.block, mark, entry.content?.key, wasNew))
            case .doesNotFollow:
                events.append(.applyFailed(block: batch.block, "it does not follow what is stored"))
            }
            previous = entry.position
        }
    }
}
