import AnnexCore
import Synchronization

/// Holds what a store, its writer, its readers and its check share. Any thread may use it.
final class StateShared: Sendable {
    let environment: StateEnvironment
    let gate: ReadGate
    let queue: StateQueue
    let settings: StateSettings
    let system: StateSystem
    let clock: StampClock

    let events = Atomic<Int>(0)
    let users = Atomic<Int>(0)
    let mapBytes: Atomic<Int>
    let commits = Atomic<Int>(0)
    let changes = Atomic<Int>(0)
    let lastCommitMicroseconds = Atomic<Int>(0)
    let damagedRecords = Atomic<Int>(0)
    let growths = Atomic<Int>(0)
    let longestPauseMicroseconds = Atomic<Int>(0)
    let walkedRecords = Atomic<Int>(0)
    let checkedRecords = Atomic<Int>(0)
    let damagedFound = Atomic<Int>(0)
    /// Tells whether every record has been read since the opening, and the index of events is right.
    let isChecked = Atomic<Bool>(false)
    /// Tells whether the check of records shall end.
    let isClosing = Atomic<Bool>(false)
    /// Copies that are being made: readers that stay inside for long.
    let copies = Atomic<Int>(0)

    private let currentStatus = Mutex(StateStatus.running)
    private let rescue = Mutex<StateEnvironment?>(nil)
    /// LMDB could not map the file again: reading it would crash.
    private let isUnmapped = Atomic<Bool>(false)
    private let folder: StateFolder

    init(
        _ environment: StateEnvironment,
        _ folder: StateFolder,
        _ settings: StateSettings,
        _ system: StateSystem,
        _ clock: StampClock
    ) {
        self.environment = environment
        self.folder = folder
        self.settings = settings
        self.system = system
        self.clock = clock
        self.gate = ReadGate(system)
        self.queue = StateQueue(limit: settings.waitingLimit, path: folder.path, system: system)
        self.mapBytes = Atomic(environment.file.mapBytes)
    }

    var folderPath: String { self.folder.path }

    var status: StateStatus {
        get { self.currentStatus.withLock { $0 } }
        set {
            self.currentStatus.withLock { status in
                // A state that has failed stays so.
                if case .failed = status { return }
                status = newValue
            }
        }
    }

    func setUnmapped() { self.isUnmapped.store(true, ordering: .sequentiallyConsistent) }

    /// Throws where the file cannot be read any more. The caller has entered the gate.
    func checkMap() throws(AnnexError) {
        if self.isUnmapped.load(ordering: .relaxed) {
            throw AnnexError(
                .system,
                "the file could not be mapped again",
                at: self.environment.path,
                hint: "There is too little memory or address space; start the server again"
            )
        }
    }

    /// Returns the environment that can be read: the one of the store, or, when LMDB has given that up, one that only
    /// reads. Opened without locks, so that those of the first stay; nothing is written any more then.
    func readableEnvironment() throws(AnnexError) -> StateEnvironment {
        if !self.environment.file.hasPanicked { return self.environment }
        return try self.rescue.withLock { rescue throws(AnnexError) in
            if let rescue { return rescue }
            let opened = try StateEnvironment(
                self.environment.path,
                in: self.folder,
                mode: .readOnly,
                mapBytes: self.environment.file.mapBytes
            )
            rescue = opened
            return opened
        }
    }

    /// Writes a compact copy to a new file. LMDB reads for it as any reader does, so it counts as one.
    func copy(to path: String) throws(AnnexError) {
        self.copies.wrappingAdd(1, ordering: .sequentiallyConsistent)
        self.gate.enter()
        defer {
            self.gate.leave()
            self.copies.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        }
        try self.checkMap()
        let status = try self.readableEnvironment().file.copy(to: path)
        guard status == 0 else { throw LMDBFailure(status: status).error("cannot copy", path, .state) }
    }

    var counts: StateCounts {
        StateCounts(
            events: self.events.load(ordering: .relaxed),
            users: self.users.load(ordering: .relaxed),
            fileBytes: self.environment.file.fileBytes,
            mapBytes: self.mapBytes.load(ordering: .relaxed),
            waiting: self.queue.count,
            commits: self.commits.load(ordering: .relaxed),
            changes: self.changes.load(ordering: .relaxed),
            lastCommitMicroseconds: self.lastCommitMicroseconds.load(ordering: .relaxed),
            damagedRecords: self.damagedRecords.load(ordering: .relaxed),
            walkedRecords: self.walkedRecords.load(ordering: .relaxed),
            checkedRecords: self.checkedRecords.load(ordering: .relaxed),
            damagedFound: self.damagedFound.load(ordering: .relaxed),
            isChecked: self.isChecked.load(ordering: .relaxed),
            clockBehindMillis: Int(self.clock.behindMillis),
            growths: self.growths.load(ordering: .relaxed),
            longestPauseMicroseconds: self.longestPauseMicroseconds.load(ordering: .relaxed)
        )
    }
}
