package import AnnexCore

/// Decides for one replica of one index, as a state machine: it takes events and gives actions, and has no socket, no
/// clock and no thread.
///
/// Each change is appended at most once and answered exactly once. What is read back is applied in the order of its
/// stream, and starts behind what is stored; the state stores entry and position together, and refuses an entry that
/// does not follow the one before, so that nothing is applied twice and nothing is left out.
///
/// Times are milliseconds of one clock that does not go back; `until` of a change is a time of the log's clock.
package struct ReplicationMachine<Change: Sendable, Outcome: Sendable> {
    package typealias Event = ReplicationEvent<Change, Outcome>
    package typealias Action = ReplicationAction<Change, Outcome>

    package enum Phase: Sendable, Equatable {
        case cutOff(String)
        /// The replica is connected, and asks whether the log has what was read.
        case checking
        case following
        case refusing(LogProblem)
    }

    struct Pending {
        let token: UInt64
        let block: Int
        let needsOutcome: Bool
        let deadline: Int64
        let until: Int64?
        /// Holds its position in the log, if that is known.
        var position: LogPosition?
    }

    package let origin: EntryKey.Origin
    /// Says which log is followed. It is nil before the first.
    package internal(set) var identity: LogIdentity?
    package internal(set) var phase = Phase.cutOff("it has not been reached yet")
    package internal(set) var figures = ReplicationFigures()
    let settings: ReplicationSettings
    let blocks: [Int]

    var pending: [UInt64: Pending] = [:]
    /// Lists sequences in the order of their deadlines. Those that are answered already are passed over.
    private var deadlines: [UInt64] = []
    private var firstDeadline = 0
    private var nextSequence: UInt64 = 1

    /// Each block has been read up to `read` and given out to be applied; up to `applied` it is durable.
    var read: [LogMark]
    var applied: [LogMark]
    var unapplied = 0
    var unappliedBytes = UnappliedBytes()
    /// The read and the check that are under way, and since when. Answers to others are of a connection that is gone.
    var reading: (number: UInt64, since: Int64)?
    var asking: (number: UInt64, since: Int64)?
    var nextNumber: UInt64 = 1
    var lastCheck: Int64 = 0
    /// The log was given an id on this connection, and is looked at for it.
    var hasClaimed = false
    /// Says why applying rests, and until when. Once nothing is under way, reading starts again from what is durable.
    var stall: (reason: String, until: Int64)?
    /// At time `at` all that the log had was read: `total` entries. The replica has caught up with `at` once it has applied them.
    var candidate: (at: Int64, total: UInt64)?
    var readTotal: UInt64 = 0
    var appliedTotal: UInt64 = 0
    var caughtUp: Int64?

    /// - Parameters:
    ///   - blocks: streams to follow, 0 to 15 each.
    ///   - marks: what the state has applied, for each of the 16.
    ///   - identity: of the log that they are of, where the state knows it.
    package init(
        origin: EntryKey.Origin,
        blocks: [Int],
        marks: [LogMark],
        identity: LogIdentity? = nil,
        settings: ReplicationSettings = ReplicationSettings(),
    ) {
        self.origin = origin
        self.identity = identity
        self.blocks = blocks.filter { (0..<Slot.blockCount).contains($0) }
        let known = Array(marks.prefix(Slot.blockCount))
        self.applied = known + Array(repeating: .start, count: Slot.blockCount - known.count)
        self.read = self.applied
        self.settings = settings
    }

    // MARK: What is known

    /// Changes that are neither acknowledged nor refused.
    package var pendingCount: Int { self.pending.count }
    /// Counts entries that were read and are not applied yet.
    package var unappliedCount: Int { self.unapplied }

    /// Returns the mark up to which a block is applied durably. The block is one of 0 to 15.
    package func mark(_ block: Int) -> LogMark { self.applied[block] }

    /// Milliseconds since this replica last knew that it had applied all that the log had; nil where it never did.
    package func lag(at now: Int64) -> Int64? { self.caughtUp.map { max(0, now - $0) } }

    /// Says why applying rests. It is nil while it does not.
    package var stallReason: String? { self.stall?.reason }

    // MARK: Events

    package mutating func handle(_ event: Event, at now: Int64) -> [Action] {
        var actions: [Action] = []
        switch event {
        case .change(let token, let block, let change, let needsOutcome, let until):
            self.change(token, block, change, needsOutcome, until, now, &actions)
        case .appended(let sequence, let position):
            self.figures.appended &+= 1
            self.found(sequence, at: position, &actions)
        case .rejected(let sequence, let reason):
            if let pending = self.pending.removeValue(forKey: sequence) {
                self.refuse(pending.token, .rejected(reason), &actions)
            }
        case .read(let number, let streams, let bytes, let isWhole):
            self.wasRead(number, streams, bytes, isWhole, &actions)
        case .checked(let number, let facts, let log): self.wasChecked(number, facts, log, &actions)
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
            self.hasClaimed = false
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
        _ until: Int64?,
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
        self.pending[sequence] = Pending(
            token: token,
            block: block,
            needsOutcome: needsOutcome,
            deadline: now + self.settings.changeDeadline,
            until: until
        )
        self.deadlines.append(sequence)
        let key = EntryKey(origin: self.origin, sequence: sequence)
        actions.append(.append(LogEntry(key: key, block: block, change: change, until: until)))
    }

    /// The log has one of the own entries, by its answer or by what was read.
    mutating func found(_ sequence: UInt64, at position: LogPosition, _ actions: inout [Action]) {
        guard let entry = self.pending[sequence] else { return }
        if position.isBehind(entry.until) {
            self.pending[sequence] = nil
            self.refuse(entry.token, .expired(position), &actions)
        } else if self.settings.acknowledgement == .log, !entry.needsOutcome {
            self.pending[sequence] = nil
            self.acknowledge(entry, position, nil, &actions)
        } else {
            self.pending[sequence]?.position = position
        }
    }

    mutating func acknowledge(
        _ entry: Pending,
        _ position: LogPosition,
        _ outcome: Outcome?,
        _ actions: inout [Action]
    ) {
        self.figures.acknowledged &+= 1
        actions.append(.acknowledge(token: entry.token, block: entry.block, position, outcome))
    }

    mutating func refuse(_ token: UInt64, _ reason: ReplicationRefusal, _ actions: inout [Action]) {
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
}
