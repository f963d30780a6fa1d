package import AnnexCore
package import AnnexEngine
package import AnnexStore

extension LogFollower: ReplicatedLog {
    package func submit(
        _ change: StateChange,
        until: Int64?,
        _ completion: @escaping @Sendable (Result<(outcome: StateOutcome?, token: PositionToken), AnnexError>) -> Void
    ) { self.post(.change(change, until: until, completion)) }

    package var staleness: String? { self.published.staleness }
    package var unreadiness: String? { self.published.unreadiness }

    package func wait(
        for token: PositionToken,
        milliseconds: Int64,
        _ completion: @escaping @Sendable (Result<PositionWait, AnnexError>) -> Void
    ) {
        let (identity, isFollowing) = self.published.followed
        if let log = token.log, let identity, log != identity {
            guard isFollowing else { return completion(.failure(self.otherLog(log, identity))) }
            return completion(.success(.ofAnotherLog))
        }
        if token.position <= self.published.position(token.block) { return completion(.success(.applied)) }
        let (deadline, isOver) = Self.now.addingReportingOverflow(milliseconds)
        self.post(
            .waiter(
                LogWaiters.Waiter(
                    block: token.block,
                    position: token.position,
                    deadline: isOver ? .max : deadline,
                    completion: { completion($0.map { .failure($0) } ?? .success(.applied)) }
                )
            )
        )
    }

    private func otherLog(_ log: LogIdentity, _ followed: LogIdentity) -> AnnexError {
        AnnexError(
            .unavailable,
            "a position of the log \(log), and this replica has \(followed), which it cannot follow now",
            hint: "Ask another replica"
        )
    }

    package var report: LogReport {
        self.published.report ?? LogReport(status: "starting", problem: nil, figures: [], positions: [])
    }

    /// Says exactly whether the change is stored.
    func error(_ reason: ReplicationRefusal) -> AnnexError {
        let log = "\(self.address)"
        let elsewhere = "Send it to another replica, or again in a moment"
        switch reason {
        case .cutOff(let why):
            return AnnexError(
                .unavailable,
                "nothing was stored, this replica is cut off from the log: \(why)",
                at: log,
                hint: elsewhere
            )
        case .problem(let problem):
            return AnnexError(.unavailable, "nothing was stored: \(problem)", at: log)
        case .cannotApply(let why):
            return AnnexError(
                .unavailable,
                "nothing was stored, this replica cannot apply what the log has: \(why)",
                hint: elsewhere
            )
        case .overloaded(let count):
            return AnnexError(
                .overloaded,
                "nothing was stored, \(count) changes wait for the log already",
                at: log,
                hint: elsewhere
            )
        case .rejected(let why):
            let text = Printable.escape(why, limit: 200)
            return AnnexError(.system, "nothing was stored, the log refused it: \(text)", at: log, hint: elsewhere)
        case .expired(let position):
            return AnnexError(
                .timeout,
                "nothing was stored, the change came to the log at \(position), which is behind the deadline given for it",
                at: log,
                hint: "Send it again"
            )
        case .unanswered:
            return AnnexError(
                .timeout,
                "it may or may not have been stored: the log did not answer within "
                    + "\(self.settings.replication.changeDeadline) ms",
                at: log,
                hint: "With AT it can be sent again; without, look with SEEN first"
            )
        case .notApplied(let position):
            return AnnexError(
                .timeout,
                "it is stored in the log at \(position), but this replica did not apply it within "
                    + "\(self.settings.replication.changeDeadline) ms",
                at: log,
                hint: "Do not send it again; it counts as soon as a replica has read it"
            )
        }
    }
}
