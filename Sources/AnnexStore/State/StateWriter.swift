import AnnexCore
import CLMDB
import Glibc
import Synchronization

/// Takes what waits, applies it in one transaction, commits, and only then answers. Lives on one thread.
struct StateWriter {
    private static let readerCheckInterval = Duration.seconds(60)
    private static let spaceCheckInterval = Duration.milliseconds(100)
    private static let growthLimit = Duration.seconds(10)
    private static let copyPollMicroseconds: UInt32 = 5_000

    private let shared: StateShared
    private let clock = ContinuousClock()
    private var nextReaderCheck: ContinuousClock.Instant
    private var nextSpaceCheck: ContinuousClock.Instant
    /// Why events are refused without a try; nil where there is space.
    private var noSpace: AnnexError?

    init(_ shared: StateShared) {
        self.shared = shared
        self.nextReaderCheck = self.clock.now + Self.readerCheckInterval
        self.nextSpaceCheck = self.clock.now
    }

    /// Returns when the queue is stopped and empty. Blocks.
    mutating func run() {
        while let group = self.shared.queue.take(
            limit: self.shared.settings.groupLimit,
            patience: max(.zero, self.nextReaderCheck - self.clock.now)
        ) {
            if !group.isEmpty {
                let begin = self.clock.now
                self.write(group)
                // A full group goes on at once: what waits is written as fast as it comes.
                let isEmptied = group.count < self.shared.settings.groupLimit
                if let interval = self.shared.settings.interval, isEmptied {
                    self.shared.queue.pause(until: begin + interval)
                }
            }
            if self.clock.now >= self.nextReaderCheck {
                self.shared.environment.dropDeadReaders()
                self.nextReaderCheck = self.clock.now + Self.readerCheckInterval
            }
        }
    }

    // MARK: Groups

    private mutating func write(_ group: [StateQueue.Waiting]) {
        var results = [Result<Done, AnnexError>?](repeating: nil, count: group.count)
        // Entries of the log that no state can store: only their position moves.
        var impossible: [Int: AnnexError] = [:]
        for (place, waiting) in group.enumerated() {
            if case .logged(let entry, _) = waiting.work, let fault = entry.change?.fault { impossible[place] = fault }
        }
        var places = Array(group.indices)
        if case .failed(let error) = self.shared.status {
            for place in places { results[place] = .failure(error) }
            places = []
        }
        self.checkSpace()
        if let noSpace {
            // Removing and forgetting go on: there is a little space left for them.
            for place in places where group[place].isEvent { results[place] = .failure(noSpace) }
            places.removeAll { group[$0].isEvent }
        }
        while !places.isEmpty {
            switch self.attempt(places.map { (group[$0].work, impossible[$0]) }) {
            case .committed(let outcomes):
                for (place, outcome) in zip(places, outcomes) { results[place] = outcome }
                self.shared.changes.wrappingAdd(places.count, ordering: .relaxed)
                places = []
            case .refused(let index, let failure):
                // The transaction is lost, but not the other changes: once more without this one.
                if case .logged = group[places[index]].work, failure.status == MDB_BAD_VALSIZE,
                    impossible[places[index]] == nil
                {
                    impossible[places[index]] = self.described(failure)
                    continue
                }
                results[places[index]] = .failure(self.described(failure))
                places.remove(at: index)
            case .failed(let failure):
                if failure.status == MDB_MAP_FULL, self.grow() { continue }
                let error = self.concluded(failure)
                for place in places { results[place] = .failure(error) }
                places = []
            }
        }
        for (waiting, result) in zip(group, results) {
            guard let result else { continue }
            switch waiting.work {
            case .change(_, let completion): completion(result.map { $0.outcome ?? .unchanged })
            case .logged(_, let completion): completion(result.flatMap { $0.logged })
            }
        }
    }

    /// What became of one in a group.
    private enum Done {
        case changed(StateOutcome)
        case entered(LoggedOutcome)

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
        case committed([Result<Done, AnnexError>])
        case refused(Int, StoreFailure)
        case failed(StoreFailure)
    }

    private func attempt(_ changes: [(work: StateQueue.Work, impossible: AnnexError?)]) -> Attempt {
        var outcomes: [Result<Done, AnnexError>] = []
        outcomes.reserveCapacity(changes.count)
        do throws(StoreFailure) {
            let transaction = try StateTransaction(self.shared.environment)
            for (work, impossible) in changes {
                do throws(StoreFailure) {
                    switch work {
                    case .change(let change, _): outcomes.append(.success(.changed(try transaction.apply(change))))
                    case .logged(let entry, _): outcomes.append(try self.enter(entry, impossible, transaction))
                    }
                } catch  where StateFailure.isOfOneChange(error.status) {
                    transaction.abort()
                    return .refused(outcomes.count, error)
                }
            }
            try self.commit(transaction, changes: changes.count)
            return .committed(outcomes)
        } catch { return .failed(error) }
    }

    /// An entry of the log, with its position. What fails here leaves the transaction as it was.
    private func enter(
        _ entry: LoggedChange,
        _ impossible: AnnexError?,
        _ transaction: StateTransaction
    ) throws(StoreFailure) -> Result<Done, AnnexError> {
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
        return .success(.entered(.applied(outcome, try transaction.move(over: entry))))
    }

    private func commit(_ transaction: StateTransaction, changes: Int) throws(StoreFailure) {
        let events = try transaction.countEvents()
        let users = Int(clamping: transaction.tally.users)
        guard transaction.isChanged else {
            // All that is acknowledged lies in the file already, by an earlier commit.
            return transaction.abort()
        }
        let start = self.clock.now
        let fault = self.shared.faults.commit(changes)
        if fault != 0 { throw StoreFailure(status: fault) }
        try transaction.commit()
        let spent = Int((self.clock.now - start) / .microseconds(1))
        self.shared.lastCommitMicroseconds.store(spent, ordering: .relaxed)
        self.shared.commits.wrappingAdd(1, ordering: .relaxed)
        self.shared.events.store(events, ordering: .relaxed)
        self.shared.users.store(users, ordering: .relaxed)
        if self.noSpace == nil, case .full = self.shared.status { self.shared.status = .running }
    }

    // MARK: Failures

    /// What a failure means for the store.
    private func concluded(_ met: StoreFailure) -> AnnexError {
        let hasPanicked = self.shared.environment.hasPanicked
        var failure = met
        // LMDB's word for a write that was cut short, as the last one is on a disk that fills up. To go on is sound:
        // the next transaction writes and flushes all its pages anew, and what came before was flushed in its time.
        if met.status == EIO, !self.shared.faults.hasSpace(self.shared.folderPath) {
            failure = StoreFailure(status: ENOSPC)
        }
        let error = self.described(failure)
        if StateFailure.isNoSpace(failure.status), !hasPanicked {
            self.shared.status = .full(error)
            return error
        }
        if StateFailure.isPassing(failure.status), !hasPanicked { return error }
        let final = AnnexError(error.code, error.message, at: error.location, hint: StateFailure.restart)
        self.shared.status = .failed(final)
        return final
    }

    private func described(_ failure: StoreFailure) -> AnnexError {
        StateFailure.error(failure.status, "the change was not stored", self.shared.environment.path)
    }

    private mutating func checkSpace() {
        guard self.clock.now >= self.nextSpaceCheck else { return }
        self.nextSpaceCheck = self.clock.now + Self.spaceCheckInterval
        let folder = self.shared.folderPath
        let fullness = self.shared.faults.fullness(folder)
        if fullness >= self.shared.settings.fullShare {
            let error = AnnexError(
                .system,
                "the event was not stored: the file system is \(Int(fullness * 100)) % full",
                at: folder,
                hint: "Make space on it, \(Int(self.shared.settings.fullShare * 100)) % is the limit; "
                    + "no restart is needed"
            )
            self.noSpace = error
            self.shared.status = .full(error)
        } else if self.noSpace != nil {
            self.noSpace = nil
            self.shared.status = .running
        }
    }

    /// Makes the map twice as large; false where that does not work. Blocks while a copy is made.
    private func grow() -> Bool {
        let environment = self.shared.environment
        let (bytes, isOver) = environment.mapBytes.multipliedReportingOverflow(by: 2)
        guard !isOver else { return false }
        var status = MDB_PANIC
        var pause: Duration?
        repeat {
            while self.shared.copies.load(ordering: .sequentiallyConsistent) > 0 { usleep(Self.copyPollMicroseconds) }
            pause = self.shared.gate.whileEmpty(limit: Self.growthLimit) {
                status = environment.resize(to: bytes)
                if status == MDB_PANIC { self.shared.setUnmapped() }
            }
        } while pause == nil && self.shared.copies.load(ordering: .sequentiallyConsistent) > 0
        guard let pause else { return false }
        let spent = Int(pause / .microseconds(1))
        if spent > self.shared.longestPauseMicroseconds.load(ordering: .relaxed) {
            self.shared.longestPauseMicroseconds.store(spent, ordering: .relaxed)
        }
        guard status == 0 else { return false }
        self.shared.growths.wrappingAdd(1, ordering: .relaxed)
        self.shared.mapBytes.store(bytes, ordering: .relaxed)
        return true
    }
}
