package import AnnexCore
import Foundation
import Synchronization

/// Keeps the live state of one index: users' events and tombstones, in `state.lmdb` under its folder. Any thread may
/// use it.
///
/// One process at a time has it open, and one thread of that process writes it. Each commit takes all changes that
/// wait, so that many share one flush of the disk.
package final class StateStore: Sendable {
    /// Holds 16 random bytes that tell this store from any other.
    package let storeID: [UInt8]
    /// Each block's mark says how far the log was applied when the store was opened.
    package let marksAtOpening: [LogMark]
    /// Says which log `marksAtOpening` belong to.
    package let logAtOpening: StateLog
    let queue: StateQueue
    /// It is nil once closed.
    private let shared: Mutex<StateShared?>
    private let writerEnd = DispatchGroup()
    private let checkEnd = DispatchGroup()
    private let acknowledgesEarly: Bool
    private let lost = LostEvents()
    private let clock: StampClock

    /// Walks the pages of a state while another holds its lock, for `PageChecking.elsewhere`. Blocks, O(pages).
    ///
    /// - Throws: `.damaged` where the file is no whole store.
    package static func checkPages(_ folder: String) throws(AnnexError) {
        try StateFile.check(StateFolder.file(folder))
    }

    /// Opens the state in `folder`, or makes it. Blocks; O(pages) where they are checked.
    ///
    /// - Throws: `.busy` where another process has it open, `.damaged` where the file is (nothing is mapped then),
    ///   `.system` where it cannot be written.
    package convenience init(_ folder: String, settings: StateSettings = StateSettings()) throws(AnnexError) {
        try self.init(folder, settings: settings, system: StateSystem())
    }

    /// Takes other system calls, for tests of failing disks.
    package init(_ folder: String, settings: StateSettings, system: StateSystem) throws(AnnexError) {
        let lock = try StateFolder(
            folder,
            create: true,
            patience: settings.lockPatience,
            notice: settings.notice,
            system: system
        )
        let environment = try StateFile.open(lock, settings)
        let summary = try StateFile.summary(environment)
        self.clock = StampClock(highest: summary.clock, wallClock: system.wallClock, notice: settings.notice)
        let shared = StateShared(environment, lock, settings, system, self.clock)
        self.storeID = summary.storeID
        self.marksAtOpening = summary.marks
        self.logAtOpening = summary.log
        self.acknowledgesEarly = settings.interval != nil
        shared.events.store(summary.events, ordering: .relaxed)
        shared.users.store(Int(clamping: summary.tally.users), ordering: .relaxed)
        self.queue = shared.queue
        self.shared = Mutex(shared)
        if settings.checksRecords {
            Self.start("annex-state-check", self.checkEnd, shared) {
                var check = RecordCheck($0)
                check.run()
            }
        }
        Self.start("annex-state", self.writerEnd, shared) {
            var writer = StateWriter($0)
            writer.run()
        }
    }

    /// Runs `body` on a thread of its own.
    private static func start(
        _ name: String,
        _ end: DispatchGroup,
        _ shared: StateShared,
        _ body: @escaping @Sendable (StateShared) -> Void
    ) {
        end.enter()
        // The box holds what the thread uses, and the thread empties it: when it says that it has ended, it holds
        // nothing of the file any more.
        let box = Mutex<StateShared?>(shared)
        let thread = Thread {
            Self.run(box.withLock { $0.take() }, body)
            end.leave()
        }
        thread.name = name
        thread.start()
    }

    private static func run(_ shared: consuming StateShared?, _ body: (StateShared) -> Void) {
        if let shared = consume shared { body(shared) }
    }

    /// Changes that wait are still written. `close` waits for them, this does not.
    deinit {
        self.shared.withLock { $0 }?.isClosing.store(true, ordering: .relaxed)
        self.queue.stop()
    }

    /// Returns the time for a change that comes without one: milliseconds since 1970, never below another that was
    /// given out, by an earlier process neither. What is stored with it keeps it from going back. Does not block; any
    /// thread.
    package func stamp() -> Int64 { self.clock.stamp() }

    /// Returns a sentence about a clock that was set back. It is nil while there is nothing to say.
    package var clockProblem: String? { self.clock.problem }

    /// Hands a change to the writer. Does not block and keeps the order of the calls.
    ///
    /// - Parameters:
    ///   - until: Unix time in milliseconds: where it is past when the change would begin, it is refused with `.timeout`.
    ///   - completion: runs once, on the writer's thread when the change is durable or was refused, or right here, with
    ///     `.overloaded`, where too many wait (`.badInput` where the change is none). It must not block.
    package func submit(
        _ change: StateChange,
        until: Int64? = nil,
        _ completion: @escaping @Sendable (Result<StateOutcome, AnnexError>) -> Void
    ) {
        guard self.acknowledgesEarly, change.isOnlyEvents, self.status == .running else {
            if let error = change.fault ?? self.queue.put(change, until: until, completion) {
                completion(.failure(error))
            }
            return
        }
        // A change that is answered here is written whenever its turn comes.
        if let error = self.expiry(until) { return completion(.failure(error)) }
        let lost = self.lost
        let early = change.earlyOutcome
        let error =
            change.fault
            ?? self.queue.put(change) { result in
                if case .failure = result { lost.count.wrappingAdd(1, ordering: .relaxed) }
            }
        completion(error.map { .failure($0) } ?? .success(early))
    }

    private func expiry(_ until: Int64?) -> AnnexError? {
        guard let until, let shared = self.shared.withLock({ $0 }) else { return nil }
        let late = shared.system.wallMilliseconds() - until
        return late > 0 ? .expired(late) : nil
    }

    /// Returns a reader for one thread. It may outlive the store, which keeps the file open and locked.
    ///
    /// - Throws: `.limit` where there are too many.
    package func makeReader() throws(AnnexError) -> StateReader { try StateReader(self.open()) }

    package var status: StateStatus {
        guard let shared = self.shared.withLock({ $0 }) else { return .failed(self.closed) }
        return shared.status
    }

    package var counts: StateCounts {
        var counts = self.shared.withLock { $0 }?.counts ?? StateCounts()
        counts.lost = self.lost.count.load(ordering: .relaxed)
        return counts
    }

    /// Takes no more changes, waits until all that wait are durable and answered, and lets go of the file, unless a
    /// reader still holds it. Blocks; not to be called from a completion. More than one call does no harm.
    package func close() {
        self.shared.withLock { $0 }?.isClosing.store(true, ordering: .relaxed)
        self.queue.stop()
        self.writerEnd.wait()
        self.checkEnd.wait()
        self.shared.withLock { $0 = nil }
    }

    /// Waits until every record has been read since the opening, or until the store closes. Blocks.
    package func waitUntilChecked() { self.checkEnd.wait() }

    private var closed: AnnexError { AnnexError(.system, "the state is closed", hint: "Ask another server") }

    func open() throws(AnnexError) -> StateShared {
        guard let shared = self.shared.withLock({ $0 }) else { throw self.closed }
        return shared
    }
}

/// Holds a number with which completions may outlive the store.
private final class LostEvents: Sendable {
    let count = Atomic<Int>(0)
}
