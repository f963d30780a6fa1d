package import AnnexCore

/// One replica of one index, as a state machine: events in, actions out; no socket, no clock, no thread.
///
/// Each change is appended at most once and answered exactly once. What is read back is applied in the order of its
/// stream, and starts behind what is stored; the state stores entry and position together, and refuses an entry that
/// does not follow the one before, so that nothing is applied twice and nothing is left out.
///
/// Times are milliseconds of one clock that does not go back.
package struct ReplicationMachine<Change: Sendable, Outcome: Sendable> {
    package typealias Event = ReplicationEvent<Change, Outcome>
    package typealias Action = ReplicationAction<Change, Outcome>

    package enum Phase: Sendable, Equatable {
        case cutOff(String)
        /// Connected; whether the log has what was read is being asked.
        case checking
        case following
        case refusing(LogProblem)
    }

    private struct Pending {
        let token: UInt64
        let block: Int
        let needsOutcome: Bool
        let deadline: Int64
        /// Where it stands in the log, if that is known.
        var position: LogPosition?
    }

    package let origin: EntryKey.Origin
    package private(set) var phase = Phase.cutOff("it has not been reached yet")
    package private(set) var figures = ReplicationFigures()
    let settings: ReplicationSettings
    private let blocks: [Int]
    private let fault: PlantedFault?

    private var pending: [UInt64: Pending] = [:]
    /// Sequences in the order of their deadlines; those that are answered already are passed over.
    private var deadlines: [UInt64] = []
    private var firstDeadline = 0
    private var nextSequence: UInt64 = 1

    /// Per block, up to where it was read and given out to be applied; and up to where it is durable.
    private var read: [LogMark]
    private var applied: [LogMark]
    private var unapplied = 0
    /// The read and the check that are under way, and since when. Answers to others are of a connection that is gone.
    private var reading: (number: UInt64, since: Int64)?
    private var asking: (number: UInt64, since: Int64)?
    private var nextNumber: UInt64 = 1
    private var lastCheck: Int64 = 0
    /// Why applying rests, and until when; once nothing is under way, reading starts again from what is durable.
    private var stall: (reason: String, until: Int64)?
    /// When the log was known to end where reading had come, for when all that is applied.
    private var candidate: (at: Int64, total: UInt64)?
    private var readTotal: UInt64 = 0
    private var appliedTotal: UInt64 = 0
    private var caughtUp: Int64?

    /// - Parameters:
    ///   - blocks: streams to follow, 0 to 15 each.
    ///   - marks: what the state has applied, for each of the 16.
    ///   - fault: for simulations that must find one.
    package init(
        origin: EntryKey.Origin,
        blocks: [Int],
        marks: [LogMark],
        settings: ReplicationSettings = ReplicationSettings(),
        fault: PlantedFault? = nil
    ) {
        self.origin = origin
        self.blocks = blocks.filter { (0..<Slot.blockCount).contains($0) }
        let known = Array(marks.prefix(Slot.blockCount))
        self.applied = known + Array(repeating: .start, count: Slot.blockCount - known.count)
        self.read = self.applied
        self.settings = settings
        self.fault = fault
    }

    // MARK: What is known

    /// Changes that are neither acknowledged nor refused.
    package var pendingCount: Int { self.pending.count }
    /// Entries that were read and are not applied yet.
    package var unappliedCount: Int { self.unapplied }

    /// Up to where a block is applied durably. The block is one of 0 to 15.
    package func mark(_ block: Int) -> LogMark { self.applied[block] }

    /// Milliseconds since this replica last knew that it had applied all that the log had; nil where it never did.
    package func lag(at now: Int64) -> Int64? { self.caughtUp.map { max(0, now - $0) } }

    /// Why applying rests; nil while it does not.
    package var stallReason: String? { self.stall?.reason }

    // MARK: Events

    package mutating func handle(_ event: Event, at now: Int64) -> [Action] {
        var actions: [Action] = []
        switch event {
        case .change(let token, let block, let change, let needsOutcome):
            self.change(token, block, change, needsOutcome, now, &actions)
        case .appended(let sequence, let position):
            self.figures.appended &+= 1
            self.found(sequence, at: position, &actions)
        case .rejected(let sequence, let reason):
            if let pending = self.pending.removeValue(forKey: sequence) {
                self.refuse(pending.token, .rejected(reason), &actions)
            }
        case .read(let number, let streams): self.wasRead(number, streams, &actions)
        case .checked(let number, let facts): self.wasChecked(number, facts)
        case .applied(let block, let mark, let key, let outcome):
            self.wasApplied(block, mark, key, outcome, &actions)
        case .applyFailed(_, let reason):
            self.unapplied -= 1
            self.candidate = nil
            self.stall = (reason, now + self.settings.applyRest)
        case .connected:
            self.phase = .checking
            self.reading = nil
            self.asking = nil
        case .disconnected(let reason):
            self.phase = .cutOff(reason)
            self.reading = nil
            self.asking = nil
        case .tick: self.expire(now, &actions)
        }
        self.proceed(now, &actions)
        return actions
    }

    // MARK: Changes

    private mutating func change(
        _ token: UInt64,
        _ block: Int,
        _ change: Change,
        _ needsOutcome: Bool,
        _ now: Int64,
        _ actions: inout [Action]
    ) {
        switch self.phase {
        case .cutOff(let reason): return self.refuse(token, .cutOff(reason), &actions)
        case .checking: return self.refuse(token, .cutOff("it was just reached, and is being looked at"), &actions)
        case .refusing(let problem): return self.refuse(token, .problem(problem), &actions)
        case .following: break
        }
        if let stall { return self.refuse(token, .cannotApply(stall.reason), &actions) }
        guard self.pending.count < self.settings.pendingLimit else {
            return self.refuse(token, .overloaded(self.pending.count), &actions)
        }
        let sequence = self.nextSequence
        self.nextSequence += 1
        if self.fault == .acknowledgesBeforeAppend {
            actions.append(.acknowledge(token: token, block: block, self.read[block].position, nil))
        } else {
            self.pending[sequence] = Pending(
                token: token,
                block: block,
                needsOutcome: needsOutcome,
                deadline: now + self.settings.changeDeadline
            )
            self.deadlines.append(sequence)
        }
        let key = EntryKey(origin: self.origin, sequence: sequence)
        actions.append(.append(LogEntry(key: key, block: block, change: change)))
    }

    /// The log has one of the own entries, by its answer or by what was read.
    private mutating func found(_ sequence: UInt64, at position: LogPosition, _ actions: inout [Action]) {
        guard let entry = self.pending[sequence] else { return }
        if self.settings.acknowledgement == .log, !entry.needsOutcome {
            self.pending[sequence] = nil
            self.acknowledge(entry, position, nil, &actions)
        } else {
            self.pending[sequence]?.position = position
        }
    }

    private mutating func acknowledge(
        _ entry: Pending,
        _ position: LogPosition,
        _ outcome: Outcome?,
        _ actions: inout [Action]
    ) {
        self.figures.acknowledged &+= 1
        actions.append(.acknowledge(token: entry.token, block: entry.block, position, outcome))
    }

    private mutating func refuse(_ token: UInt64, _ reason: ReplicationRefusal, _ actions: inout [Action]) {
        self.figures.refused &+= 1
        actions.append(.refuse(token: token, reason))
    }

    private mutating func expire(_ now: Int64, _ actions: inout [Action]) {
        while self.firstDeadline < self.deadlines.count {
            let sequence = self.deadlines[self.firstDeadline]
            if let entry = self.pending[sequence] {
                guard entry.deadline <= now else { break }
                self.pending[sequence] = nil
                self.refuse(entry.token, entry.position.map { .notApplied($0) } ?? .unanswered, &actions)
            }
            self.firstDeadline += 1
        }
        if self.firstDeadline > 1_024, self.firstDeadline * 2 > self.deadlines.count {
            self.deadlines.removeFirst(self.firstDeadline)
            self.firstDeadline = 0
        }
    }

    // MARK: Reading and applying

    private mutating func wasRead(
        _ number: UInt64,
        _ streams: [(block: Int, entries: [ReadEntry<Change>])],
        _ actions: inout [Action]
    ) {
        guard let reading, reading.number == number else { return }
        self.reading = nil
        // What was under way when applying failed, or when the log turned out to be wrong, is read again.
        guard self.stall == nil, case .following = self.phase else { return }
        var isAll = true
        for (block, entries) in streams where self.blocks.contains(block) {
            isAll = isAll && entries.count < self.settings.readCount
            let before = self.read[block].position
            var fresh: [ReadEntry<Change>] = []
            fresh.reserveCapacity(entries.count)
            for entry in entries where entry.position > self.read[block].position {
                self.read[block] = LogMark(position: entry.position, count: self.read[block].count &+ 1)
                fresh.append(entry)
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

    private mutating func wasApplied(
        _ block: Int,
        _ mark: LogMark,
        _ key: EntryKey?,
        _ outcome: Outcome?,
        _ actions: inout [Action]
    ) {
        self.unapplied -= 1
        self.appliedTotal &+= 1
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

    private mutating func wasChecked(_ number: UInt64, _ facts: [StreamFacts]) {
        guard let asking, asking.number == number else { return }
        self.asking = nil
        self.figures.unread = facts.reduce(0) { $0 &+ Int(clamping: $1.missing) }
        if let problem = facts.lazy.compactMap({ LogProblem($0) }).first {
            self.phase = .refusing(problem)
        } else {
            self.phase = .following
        }
        // Where entries went unread nothing is known; but a log that is behind this replica has nothing that it lacks.
        if case .refusing(let problem) = self.phase, problem.kind == .trimmed { return }
        if facts.allSatisfy({ $0.isCaughtUp && self.read[$0.block] == $0.mark }) {
            self.sawTheEnd(asOf: asking.since)
        }
    }

    /// What is due now that events have been dealt with.
    private mutating func proceed(_ now: Int64, _ actions: inout [Action]) {
        if let stall, self.unapplied == 0, self.reading == nil, stall.until <= now {
            self.stall = nil
            self.read = self.applied
            self.readTotal = self.appliedTotal
            // Meanwhile the log may have been trimmed.
            if case .following = self.phase { self.phase = .checking }
        }
        let isDue: Bool
        switch self.phase {
        case .cutOff: return
        case .checking: isDue = true
        case .following, .refusing: isDue = now - self.lastCheck >= self.settings.checkInterval
        }
        if isDue, self.asking == nil {
            let number = self.number()
            self.asking = (number, now)
            self.lastCheck = now
            actions.append(.check(number: number, self.blocks.map { ($0, self.read[$0]) }))
        }
        guard case .following = self.phase, self.reading == nil, self.stall == nil,
            self.unapplied < self.settings.unappliedLimit
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

/// Numbers since the start.
package struct ReplicationFigures: Sendable, Equatable {
    /// Own entries that the log confirmed.
    package var appended = 0
    package var read = 0
    package var applied = 0
    package var acknowledged = 0
    package var refused = 0
    /// Entries that the log had and this replica had not read when it last asked.
    package var unread = 0
}
