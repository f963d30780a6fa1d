package import AnnexCore
package import AnnexStore

/// The effect of changes that were stored together, and their position in the log.
package struct RecordedChanges: Sendable {
    /// Tells for each change whether anything was there before, in the state (of an event: whether one was replaced or the same).
    package let wereThere: [Bool]
    /// It is nil without a log.
    package let token: PositionToken?
}

/// Says why there is nothing to wait for any more.
package enum PositionWait: Sendable {
    /// It is applied here.
    case applied
    /// It is one of a log that was replaced since: it stands for nothing any more.
    case ofAnotherLog
}

/// Orders the changes of an index for all its replicas, as this replica sees the log. Any thread may use it.
package protocol ReplicatedLog: AnyObject, Sendable {
    /// Has a change appended and applied. Does not block.
    ///
    /// - Parameters:
    ///   - until: milliseconds since 1970, by the log's clock: the change counts only where it has a place in the log by then.
    ///   - completion: runs once, on some thread, and must not block. The outcome is nil where nobody waited for it.
    func submit(
        _ change: StateChange,
        until: Int64?,
        _ completion: @escaping @Sendable (Result<(outcome: StateOutcome?, token: PositionToken), AnnexError>) -> Void
    )

    /// Says why reads of users are not answered: this replica is too far behind the log, or cut off for too long. It is
    /// nil while they are answered.
    var staleness: String? { get }

    /// Says why this replica should not be asked yet: it never had all that the log has, or `staleness`. It is nil
    /// where it should be asked.
    var unreadiness: String? { get }

    /// Waits until this replica has applied an entry of its index. Does not block.
    ///
    /// - Parameter completion: runs once, on some thread or right here.
    func wait(
        for token: PositionToken,
        milliseconds: Int64,
        _ completion: @escaping @Sendable (Result<PositionWait, AnnexError>) -> Void
    )

    var report: LogReport { get }
}

/// Reports figures of a replica's log, each right at some moment of late.
package struct LogReport: Sendable {
    /// One of `following`, `cut-off`, `checking` and `refusing` stands here.
    package var status: String
    /// Says why changes are refused. It is nil while they are not.
    package var problem: String?
    /// It is nil before the first.
    package var identity: LogIdentity?
    /// Names and values, as INFO shows them.
    package var figures: [(name: String, value: Int)]
    /// Positions by block; those at the start of their stream are left out.
    package var positions: [(block: Int, position: LogPosition)]

    package init(
        status: String,
        problem: String?,
        identity: LogIdentity? = nil,
        figures: [(name: String, value: Int)],
        positions: [(block: Int, position: LogPosition)]
    ) {
        self.status = status
        self.problem = problem
        self.identity = identity
        self.figures = figures
        self.positions = positions
    }
}
