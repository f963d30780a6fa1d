import AnnexCore

/// Reads entries back, has them applied, and checks that the log still has them.
extension ReplicationMachine {
    mutating func wasRead(
        _ number: UInt64,
        _ streams: [(block: Int, entries: [ReadEntry<Change>])],
        _ bytes: Int,
        _ isWhole: Bool,
        _ actions: inout [Action]
    ) {
        guard let reading, reading.number == number else { return }
        self.reading = nil
        // Reads that were under way when applying failed, or when the log turned out to be wrong, are made again.
        guard self.stall == nil, case .following = self.phase else { return }
        var isAll = isWhole
        for (block, entries) in streams where self.blocks.contains(block) {
            isAll = isAll && entries.count < self.settings.readCount
            let before = self.read[block].position
            var fresh: [ReadEntry<Change>] = []
            fresh.reserveCapacity(entries.count)
            for entry in entries where entry.position > self.read[block].position {
                self.read[block] = LogMark(position: entry.position, count: self.read[block].count &+ 1)
                let isExpired = entry.position.isBehind(entry.content?.until)
                if isExpired { self.figures.expired &+= 1 }
                fresh.append(isExpired ? ReadEntry(position: entry.position, content: nil) : entry)
                if let key = entry.content?.key, key.origin == self.origin {
                    self.found(key.sequence, at: entry.position, &actions)
                }
            }
            guard !fresh.isEmpty else { continue }
            self.unapplied += fresh.count
            self.readTotal &+= UInt64(fresh.count)
            self.figures.read &+= fresh.count
            actions.append(.apply(ApplyBatch(block: block, after: before, entries: fresh)))
        }
        self.unappliedBytes.read(bytes, total: self.readTotal)
        if isAll { self.sawTheEnd(asOf: reading.since) }
    }

    /// The log ended, at that moment, where reading has come now.
    private mutating func sawTheEnd(asOf time: Int64) {
        if self.unapplied == 0, self.stall == nil {
            self.caughtUp = max(self.caughtUp ?? time, time)
            self.candidate = nil
        } else if self.candidate == nil, self.stall == nil {
            self.candidate = (time, self.readTotal)
        }
    }

    mutating func wasApplied(
        _ block: Int,
        _ mark: LogMark,
        _ key: EntryKey?,
        _ outcome: Outcome?,
        _ actions: inout [Action]
    ) {
        self.unapplied -= 1
        self.appliedTotal &+= 1
        self.unappliedBytes.applied(total: self.appliedTotal)
        self.figures.applied &+= 1
        if mark.position > self.applied[block].position { self.applied[block] = mark }
        if let candidate, self.appliedTotal >= candidate.total {
            self.caughtUp = max(self.caughtUp ?? candidate.at, candidate.at)
            self.candidate = nil
        }
        guard let key, key.origin == self.origin, let entry = self.pending.removeValue(forKey: key.sequence) else {
            return
        }
        if entry.needsOutcome, outcome == nil {
            self.refuse(entry.token, .notApplied(mark.position), &actions)
        } else {
            self.acknowledge(entry, mark.position, outcome, &actions)
        }
    }

    // MARK: The log's state

    mutating func wasChecked(
        _ number: UInt64,
        _ facts: [StreamFacts],
        _ log: LogIdentity?,
        _ actions: inout [Action]
    ) {
        guard let asking, asking.number == number else { return }
        self.asking = nil
        self.figures.unread = facts.reduce(0) { $0 &+ Int(clamping: $1.missing) }
        self.figures.length = facts.reduce(0) { $0 &+ Int(clamping: $1.length) }
        self.figures.oldest = facts.compactMap { $0.first?.milliseconds }.min()
        if let problem = self.problem(facts, log) {
            self.phase = .refusing(problem)
            // Nothing is known of another log, nor where entries went unread; but a log that is behind this replica has
            // nothing that it lacks.
            if problem.kind != .lost { return }
        } else if let log {
            if self.identity == nil { actions.append(.adopt(log)) }
            self.identity = log
            self.hasClaimed = false
            self.phase = .following
        } else {
            // The first gives it one; all look at whose that is.
            self.phase = .checking
            self.lastCheck = self.hasClaimed ? asking.since : .min / 2
            self.hasClaimed = true
            return actions.append(.claim(self.identity ?? LogIdentity(high: self.origin.high, low: self.origin.low)))
        }
        if facts.allSatisfy({ $0.isCaughtUp && self.read[$0.block] == $0.mark }) {
            self.sawTheEnd(asOf: asking.since)
        }
    }

    private func problem(_ facts: [StreamFacts], _ log: LogIdentity?) -> LogProblem? {
        if let other = LogProblem(log, followed: self.identity) { return other }
        if let problem = facts.lazy.compactMap({ LogProblem($0) }).first { return problem }
        // Before the first entry a log can get its id once more: nobody has read anything of it.
        guard log == nil, let identity, self.read.contains(where: { $0.position > .start }) else { return nil }
        return LogProblem(followed: identity)
    }

    /// Does what is due after an event.
    mutating func proceed(_ now: Int64, _ actions: inout [Action]) {
        if let stall, self.unapplied == 0, self.reading == nil, stall.until <= now {
            self.stall = nil
            self.read = self.applied
            self.readTotal = self.appliedTotal
            self.unappliedBytes = UnappliedBytes()
            // Meanwhile the log may have been trimmed.
            if case .following = self.phase { self.phase = .checking }
        }
        let isDue: Bool
        switch self.phase {
        case .cutOff: return
        case .checking: isDue = !self.hasClaimed || now - self.lastCheck >= self.settings.checkInterval
        case .following, .refusing: isDue = now - self.lastCheck >= self.settings.checkInterval
        }
        if isDue, self.asking == nil {
            let number = self.number()
            self.asking = (number, now)
            self.lastCheck = now
            actions.append(.check(number: number, self.blocks.map { ($0, self.read[$0]) }))
        }
        guard case .following = self.phase, self.reading == nil, self.stall == nil,
            self.unapplied < self.settings.unappliedLimit,
            self.unappliedBytes.sum < self.settings.unappliedBytesLimit
        else { return }
        let number = self.number()
        self.reading = (number, now)
        actions.append(.read(number: number, self.blocks.map { ($0, self.read[$0].position) }))
    }

    private mutating func number() -> UInt64 {
        self.nextNumber &+= 1
        return self.nextNumber
    }
}
