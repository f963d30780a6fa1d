package import AnnexCore

/// Says when a change is acknowledged.
package enum LogAcknowledgement: String, Sendable, CaseIterable {
    /// A change is acknowledged when the log has it. Only changes whose reply does not depend on what they did may be.
    case log
    /// A change is acknowledged when this replica has read it back and applied it durably.
    case replica
}

/// Times are milliseconds.
package struct ReplicationSettings: Sendable {
    package var acknowledgement = LogAcknowledgement.replica
    /// Holds the time from a change's arrival until it is refused.
    package var changeDeadline: Int64 = 2_000
    /// Changes that are neither acknowledged nor refused, at most.
    package var pendingLimit = 65_536
    /// One read asks for at most so many entries of one stream.
    package var readCount = 64
    /// At most so many entries may have been read and not applied before no more are read.
    package var unappliedLimit = 8_192
    /// At most so many bytes of entries may have been read and not applied.
    package var unappliedBytesLimit = 64 << 20
    /// The log is asked once in this time whether it still has what was read.
    package var checkInterval: Int64 = 1_000
    /// Applying rests so long after a failure.
    package var applyRest: Int64 = 200

    package init() {}
}

/// Reports something that happened at a replica.
package enum ReplicationEvent<Change: Sendable, Outcome: Sendable>: Sendable {
    /// A client's change. `needsOutcome`: its reply tells what it did, so that it always waits until it is applied.
    /// `until`: it counts only where it stands in the log by then, in milliseconds since 1970.
    case change(token: UInt64, block: Int, Change, needsOutcome: Bool, until: Int64? = nil)
    /// The log has the entry.
    case appended(sequence: UInt64, LogPosition)
    /// The log refused the entry: it is certain that it does not have it.
    case rejected(sequence: UInt64, String)
    /// Answer to the `read` of that number, each stream without a gap; blocks without entries may be left out. `bytes`: what the
    /// entries hold, about. `isWhole`: false where more was said than is kept of one answer.
    case read(number: UInt64, [(block: Int, entries: [ReadEntry<Change>])], bytes: Int = 0, isWhole: Bool = true)
    /// Answer to the `check` of that number, a fact for each block, and the log's id; nil where it has none.
    case checked(number: UInt64, [StreamFacts], log: LogIdentity?)
    /// An entry of a batch is durable, or had been before (no outcome), together with its position.
    case applied(block: Int, LogMark, EntryKey?, Outcome?)
    /// An entry of a batch is not stored, and its position has not moved; it will be read again.
    case applyFailed(block: Int, String)
    /// The log can be talked to.
    case connected
    /// The connection ended. Nothing that is under way will be answered any more; what was sent may or may not have
    /// arrived.
    case disconnected(String)
    case tick
}

/// Asks a replica to do something.
package enum ReplicationAction<Change: Sendable, Outcome: Sendable>: Sendable {
    /// Appends the entry once; a failure that leaves open whether it arrived is a `disconnected`.
    case append(LogEntry<Change>)
    /// Reads what stands behind these positions, as soon as there is any, or soon.
    case read(number: UInt64, [(block: Int, after: LogPosition)])
    case check(number: UInt64, [(block: Int, mark: LogMark)])
    case apply(ApplyBatch<Change>)
    /// Give the log this id, unless it has one by now.
    case claim(LogIdentity)
    /// Keep the id with the state, before anything that is to be applied.
    case adopt(LogIdentity)
    /// The position is that of the change in the stream of its block.
    case acknowledge(token: UInt64, block: Int, LogPosition, Outcome?)
    case refuse(token: UInt64, ReplicationRefusal)
}

/// Says why a change is not acknowledged.
package enum ReplicationRefusal: Sendable, Equatable {
    // These changes are certainly not stored.
    case cutOff(String)
    case problem(LogProblem)
    case cannotApply(String)
    case overloaded(Int)
    case rejected(String)
    /// It stands in the log too late, so that no replica counts it.
    case expired(LogPosition)
    // May or may not be stored:
    case unanswered
    /// It is stored in the log, and each replica that reads it applies it; this one has not yet.
    case notApplied(LogPosition)

    package var isStored: Bool? {
        switch self {
        case .cutOff, .problem, .cannotApply, .overloaded, .rejected, .expired: false
        case .unanswered: nil
        case .notApplied: true
        }
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
    /// Counts entries that stand in the log behind their own end.
    package var expired = 0
    /// Counts entries that the log had and this replica had not read when it last asked.
    package var unread = 0
    /// Counts entries that the log's streams had then, and the time of the oldest: milliseconds since 1970.
    package var length = 0
    package var oldest: UInt64?
}
