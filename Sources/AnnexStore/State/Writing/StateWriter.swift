import AnnexCore
import CLMDB
import Synchronization

/// Takes what waits, applies it in one transaction, commits, and only then answers. It lives on one thread.
struct StateWriter {
    private static let readerCheckInterval = Duration.seconds(60)
    /// A transaction ends after the change that takes it beyond so much work, so that those in front of a long queue, and
    /// readers of what they wrote, do not wait for those at its end: 5 ms, or, where the disk is slow, four times the last
    /// commit, so that most of the writer's time still goes into changes. Work is processor time: on a busy machine a
    /// transaction takes longer, not less.
    private static let transactionWork = Duration.milliseconds(5)
    private static let longestTransactionWork = Duration.milliseconds(40)
    /// Pages that have to be read from the disk are no work, so time ends a transaction as well.
    private static let longestTransaction = Duration.milliseconds(100)

    let shared: StateShared
    private var nextReaderCheck: Duration
    var nextSpaceCheck: Duration
    /// Says why events are refused without a try. It is nil where there is space.
    var noSpace: AnnexError?

    init(_ shared: StateShared) {
        self.shared = shared
        let now = shared.system.now()
        self.nextReaderCheck = now + Self.readerCheckInterval
        self.nextSpaceCheck = now
    }

    /// Returns when the queue is stopped and empty. Blocks.
    mutating func run() {
        while let group = self.shared.queue.take(
            limit: self.shared.settings.groupLimit,
            patience: max(.zero, self.nextReaderCheck - self.shared.system.now())
        ) {
            if !group.isEmpty {
                let begin = self.shared.system.now()
                var left = group[...]
                while !left.isEmpty { left = self.write(Array(left)) }
                // A full group goes on at once: what waits is written as fast as it comes.
                let isEmptied = group.count < self.shared.settings.groupLimit
                if let interval = self.shared.settings.interval, isEmptied {
                    self.shared.queue.pause(until: begin + interval)
                }
            }
            if self.shared.system.now() >= self.nextReaderCheck {
                self.shared.environment.file.dropDeadReaders()
                self.nextReaderCheck = self.shared.system.now() + Self.readerCheckInterval
            }
        }
    }

    // MARK: Groups

    /// Writes the first changes of a group in one transaction and answers them; returns the others.
    private mutating func write(_ group: [StateQueue.Waiting]) -> ArraySlice<StateQueue.Waiting> {
        var results = [Result<Done, AnnexError>?](repeating: nil, count: group.count)
        // Holds entries of the log that no state can store: only their position moves.
        var impossible: [Int: AnnexError] = [:]
        for (index, waiting) in group.enumerated() {
            if case .logged(let entry, _) = waiting.work, let fault = entry.change?.fault { impossible[index] = fault }
        }
        var end = group.count
        var left = Array(group.indices)
        if case .failed(let error) = self.shared.status {
            for index in left { results[index] = .failure(error) }
            left = []
        }
        self.checkSpace()
        if let noSpace {
            // Removing and forgetting go on: there is a little space left for them.
            for index in left where group[index].isEvent { results[index] = .failure(noSpace) }
            left.removeAll { group[$0].isEvent }
        }
        self.refuseExpired(group, &left, &results)
        while !left.isEmpty {
            switch self.attempt(left.map { (group[$0].work, impossible[$0]) }) {
            case .committed(let outcomes):
                for (index, outcome) in zip(left, outcomes) { results[index] = outcome }
                let changes = left.prefix(outcomes.count).reduce(0) { $0 + group[$1].changeCount }
                self.shared.changes.wrappingAdd(changes, ordering: .relaxed)
                if outcomes.count < left.count { end = left[outcomes.count] }
                left = []
            case .refused(let number, let failure):
                // The transaction is lost, but not the other changes: once more without this one.
                let index = left[number]
                if case .logged = group[index].work, impossible[index] == nil {
                    impossible[index] = self.described(failure)
                } else {
                    results[index] = .failure(self.described(failure))
                    left.remove(at: number)
                }
            case .failed(let failure):
                if failure.status == MDB_MAP_FULL, self.grow() { continue }
                let error = self.concluded(failure)
                for index in left { results[index] = .failure(error) }
                left = []
            }
        }
        for (waiting, result) in zip(group[..<end], results) { Self.answer(waiting.work, result) }
        return group[end...]
    }

    /// Changes whose deadline has passed do not begin.
    private func refuseExpired(
        _ group: [StateQueue.Waiting],
        _ left: inout [Int],
        _ results: inout [Result<Done, AnnexError>?]
    ) {
        var now: Int64?
        left.removeAll { index in
            guard case .change(_, let until?, _) = group[index].work else { return false }
            let time = now ?? self.shared.system.wallMilliseconds()
            now = time
            guard time > until else { return false }
            results[index] = .failure(.expired(time - until))
            return true
        }
    }

    private static func answer(_ work: StateQueue.Work, _ result: Result<Done, AnnexError>?) {
        guard let result else { return }
        switch work {
        case .change(_, _, let completion): completion(result.map { $0.outcome ?? .unchanged })
        case .logged(_, let completion): completion(result.flatMap { $0.logged })
        case .keepLog(_, let completion), .repairIndex(_, _, let completion): completion(result.map { _ in })
        }
    }

    /// The outcome of one piece of work, once its transaction is committed.
    private enum Done {
        case changed(StateOutcome)
        case entered(LoggedOutcome)
        case repaired

        var outcome: StateOutcome? {
            if case .changed(let outcome) = self { return outcome }
            return nil
        }
        var logged: Result<LoggedOutcome, AnnexError> {
            if case .entered(let outcome) = self { return .success(outcome) }
            return .failure(AnnexError(.system, "the entry was taken for a change"))
        }
    }

    private enum Attempt {
        /// The outcomes of the first changes: of all, unless they were too much work for one transaction.
        case committed([Result<Done, AnnexError>])
        case refused(Int, LMDBFailure)
        case failed(LMDBFailure)
    }

    private func attempt(_ changes: [(work: StateQueue.Work, impossible: AnnexError?)]) -> Attempt {
        var outcomes: [Result<Done, AnnexError>] = []
        outcomes.reserveCapacity(changes.count)
        let lastCommit = Duration.microseconds(self.shared.lastCommitMicroseconds.load(ordering: .relaxed))
        let limit = min(max(Self.transactionWork, lastCommit * 4), Self.longestTransactionWork)
        let (start, workAtStart) = (self.shared.system.now(), self.shared.system.work())
        do throws(LMDBFailure) {
            let index = IndexRule(
                isWhole: self.shared.isChecked.load(ordering: .sequentiallyConsistent),
                walkLimit: self.shared.settings.walkLimit
            )
            let transaction = try StateTransaction(self.shared.environment, index: index)
            for (work, impossible) in changes {
                do throws(LMDBFailure) {
                    outcomes.append(try self.apply(work, impossible, transaction))
                } catch  where error.isOfOneChange {
                    transaction.abort()
                    return .refused(outcomes.count, error)
                }
                let spent = self.shared.system.now() - start
                // Time is cheaper to ask for than work, of which there is never more.
                guard spent >= limit else { continue }
                if spent >= Self.longestTransaction || self.shared.system.work() - workAtStart >= limit { break }
            }
            try self.commit(transaction, changes: outcomes.count)
            return .committed(outcomes)
        } catch { return .failed(error) }
    }

    private func apply(
        _ work: StateQueue.Work,
        _ impossible: AnnexError?,
        _ transaction: StateTransaction
    ) throws(LMDBFailure) -> Result<Done, AnnexError> {
        switch work {
        case .change(let change, _, _): return .success(.changed(try transaction.apply(change)))
        case .logged(let entry, _): return try self.enter(entry, impossible, transaction)
        case .keepLog(let log, _):
            try transaction.keep(log)
            return .success(.repaired)
        case .repairIndex(let user, let entries, _):
            try transaction.repairIndex(of: user, entries)
            return .success(.repaired)
        }
    }

    /// Applies an entry of the log, with its position. A failure here leaves the transaction as it was.
    private func enter(
        _ entry: LoggedChange,
        _ impossible: AnnexError?,
        _ transaction: StateTransaction
    ) throws(LMDBFailure) -> Result<Done, AnnexError> {
        switch try transaction.succession(of: entry) {
        case .behind(let mark): return .success(.entered(.skipped(mark)))
        case .gap(let mark):
            return .failure(
                AnnexError(
                    .system,
                    "entry \(entry.position) does not follow \(mark.position), which is applied",
                    at: self.shared.environment.path
                )
            )
        case .next: break
        }
        if let impossible { return .success(.entered(.impossible(impossible, try transaction.move(over: entry)))) }
        guard let change = entry.change else { return .success(.entered(.moved(try transaction.move(over: entry)))) }
        let outcome = try transaction.apply(change)
        // No farther than the log's own clock allows: one server whose clock is ahead does not take the others along.
        if let stamp = change.stamp {
            let limit = Int64(clamping: entry.position.milliseconds).addingReportingOverflow(StampClock.toleranceMillis)
            self.shared.clock.raise(to: limit.overflow ? stamp : min(stamp, limit.partialValue))
        }
        return .success(.entered(.applied(outcome, try transaction.move(over: entry))))
    }

    private func commit(_ transaction: StateTransaction, changes: Int) throws(LMDBFailure) {
        let events = try transaction.countEvents()
        let users = Int(clamping: transaction.tally.users)
        guard transaction.isChanged else {
            // Everything that is acknowledged lies in the file already, by an earlier commit.
            return transaction.abort()
        }
        // Every stamp in the transaction was given out before it was handed in.
        if let mark = self.shared.clock.mark { try transaction.keep(clock: mark) }
        let start = self.shared.system.now()
        let fault = self.shared.system.commit(changes)
        if fault != 0 { throw LMDBFailure(status: fault) }
        try transaction.commit()
        let spent = Int((self.shared.system.now() - start) / .microseconds(1))
        self.shared.lastCommitMicroseconds.store(spent, ordering: .relaxed)
        self.shared.walkedRecords.wrappingAdd(transaction.walkedRecords, ordering: .relaxed)
        self.shared.commits.wrappingAdd(1, ordering: .relaxed)
        self.shared.events.store(events, ordering: .relaxed)
        self.shared.users.store(users, ordering: .relaxed)
        if self.noSpace == nil, case .full = self.shared.status { self.shared.status = .running }
    }
}
