import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Synchronization
import Testing

/// Entries of the log and their positions: together or not at all, once, and without a gap.
@Suite struct LoggedChangeTests {
    private let folder: TemporaryFolder
    private let user: Identifier

    init() throws {
        self.folder = try TemporaryFolder()
        self.user = try identifier("u")
    }

    private func at(_ number: UInt64) -> LogPosition { LogPosition(milliseconds: number, sequence: 0) }

    /// Entry `number` of a stream whose entries are 1, 2, …; time tells it from all others.
    private func entry(_ number: UInt64, block: Int = 3, after: UInt64? = nil, change: StateChange? = nil)
        -> LoggedChange
    {
        LoggedChange(
            block: block,
            after: self.at(after ?? number - 1),
            position: self.at(number),
            change: change ?? .event(user: self.user, item: self.user, weight: 1, time: Int64(number))
        )
    }

    /// What became of each, in order; blocks.
    private func submit(_ store: StateStore, _ entries: [LoggedChange]) -> [Result<LoggedOutcome, AnnexError>] {
        let results = Mutex([Result<LoggedOutcome, AnnexError>?](repeating: nil, count: entries.count))
        let done = DispatchGroup()
        for _ in entries { done.enter() }
        store.submit(entries) { place, result in
            results.withLock { $0[place] = result }
            done.leave()
        }
        #expect(done.wait(timeout: .now() + 20) == .success)
        return results.withLock { $0.compactMap { $0 } }
    }

    private func mark(_ number: UInt64) -> LogMark { LogMark(position: self.at(number), count: number) }

    private func times(_ store: StateStore) throws -> [Int64] {
        try store.makeReader().user(self.user).events.map(\.time).sorted()
    }

    private func keep(_ store: StateStore, _ log: StateLog) -> AnnexError? {
        let done = DispatchSemaphore(value: 0)
        let found = Mutex<AnnexError?>(nil)
        store.keep(log) { error in
            found.withLock { $0 = error }
            done.signal()
        }
        #expect(done.wait(timeout: .now() + 20) == .success)
        return found.withLock { $0 }
    }

    /// Which log it is, and whose changes, are kept apart from each other, over restarts, in copies, and until a new log begins.
    @Test func whichLogItIs() throws {
        let log = LogIdentity(high: 7, low: .max)
        let slots = try #require(SlotSet(parsing: "0-99,200-8191"))
        var store = try StateStore(self.folder.path)
        #expect(store.logAtOpening == StateLog())
        #expect(self.keep(store, StateLog(slots: slots)) == nil)
        store.close()
        store = try StateStore(self.folder.path)
        #expect(store.logAtOpening == StateLog(slots: slots))
        #expect(self.keep(store, StateLog(id: log)) == nil)
        _ = self.submit(store, [self.entry(1)])
        let copy = try TemporaryFolder()
        try StateBackup.copy(self.folder.path, to: copy.file("state.lmdb"))
        store.close()
        #expect(self.keep(store, StateLog(id: log)) != nil, "closed")
        let found = try StateStore.inspect(copy.path)
        #expect(
            found.log == StateLog(id: log, slots: slots) && found.marks[3] == self.mark(1) && found.damagedRecords == 0
        )
        try StateBackup.forgetPositions(copy.path)
        let fresh = try StateStore.inspect(copy.path)
        #expect(fresh.log == StateLog(slots: slots) && fresh.marks[3] == .start && fresh.events == 1)
    }

    @Test func entriesAndPositionsAreStoredTogether() throws {
        let store = try StateStore(self.folder.path)
        #expect(store.marksAtOpening == [LogMark](repeating: .start, count: 16))
        let found = self.submit(store, (1...5).map { self.entry($0) })
        #expect(found == (1...5).map { .success(.applied(.added, self.mark($0))) })
        store.close()
        let again = try StateStore(self.folder.path)
        #expect(again.marksAtOpening[3] == self.mark(5))
        #expect(again.marksAtOpening.filter { $0 != .start }.count == 1)
        again.close()
        let inspection = try StateStore.inspect(self.folder.path)
        #expect(inspection.marks[3] == self.mark(5) && inspection.events == 5 && inspection.damagedRecords == 0)
    }

    @Test func whatIsThereIsSkippedAndAGapIsRefused() throws {
        let store = try StateStore(self.folder.path)
        _ = self.submit(store, [self.entry(1), self.entry(2)])
        #expect(
            self.submit(store, (1...3).map { self.entry($0) })
                == [
                    .success(.skipped(self.mark(2))), .success(.skipped(self.mark(2))),
                    .success(.applied(.added, self.mark(3))),
                ]
        )
        // A hole, and what follows it; another stream is not concerned.
        let found = self.submit(
            store,
            [self.entry(5, after: 4), self.entry(6), self.entry(1, block: 4), self.entry(4)]
        )
        #expect(throws: AnnexError.self) { try found[0].get() }
        #expect(throws: AnnexError.self) { try found[1].get() }
        #expect(
            found[2...] == [.success(.applied(.unchanged, self.mark(1))), .success(.applied(.added, self.mark(4)))]
        )
        #expect(try self.times(store) == [1, 2, 3, 4])
    }

    @Test func aPositionMovesWithoutAChangeAndOverWhatNobodyCanStore() throws {
        let store = try StateStore(self.folder.path)
        let impossible = StateChange.event(user: self.user, item: self.user, weight: .infinity, time: 2)
        let moved = LoggedChange(block: 3, after: self.at(2), position: self.at(3), change: nil)
        let found = self.submit(store, [self.entry(1), self.entry(2, change: impossible), moved, self.entry(4)])
        #expect(found[0] == .success(.applied(.added, self.mark(1))))
        if case .success(.impossible(let error, let mark)) = found[1] {
            #expect(error.code == .badInput && mark == self.mark(2))
        } else {
            Issue.record("\(found[1])")
        }
        #expect(found[2] == .success(.moved(self.mark(3))))
        #expect(found[3] == .success(.applied(.added, self.mark(4))))
        let before = store.counts.commits
        #expect(
            self.submit(store, [LoggedChange(block: 9, after: .start, position: self.at(1), change: nil)]).count == 1
        )
        #expect(store.counts.commits == before + 1, "a position alone is committed")
        store.close()
        #expect(try StateStore(self.folder.path).marksAtOpening[9] == self.mark(1))
    }

    @Test func aDiskThatFailsLeavesNeitherEntryNorPosition() throws {
        let status = Atomic<Int32>(0)
        var system = StateSystem()
        system.commit = { _ in status.load(ordering: .relaxed) }
        system.hasSpace = { _ in false }
        let store = try StateStore(self.folder.path, settings: StateSettings(), system: system)
        _ = self.submit(store, [self.entry(1)])
        status.store(ENOSPC, ordering: .relaxed)
        for result in self.submit(store, [self.entry(2), self.entry(3)]) {
            #expect(throws: AnnexError.self) { try result.get() }
        }
        // With space again: not from the third on, but from the second.
        status.store(0, ordering: .relaxed)
        #expect(throws: AnnexError.self) { try self.submit(store, [self.entry(3)])[0].get() }
        #expect(
            try self.submit(store, [self.entry(2), self.entry(3)]).map { try $0.get().mark } == [
                self.mark(2), self.mark(3),
            ]
        )
        #expect(try self.times(store) == [1, 2, 3])
    }

    /// A full file system refuses events; what comes behind them in the log must not overtake them.
    @Test func removalsDoNotOvertakeEventsThatHaveNoSpace() throws {
        let percent = Atomic<Int>(50)
        var system = StateSystem()
        system.fullness = { _ in Double(percent.load(ordering: .relaxed)) / 100 }
        let milliseconds = Atomic<Int>(0)
        system.now = { .milliseconds(milliseconds.load(ordering: .relaxed)) }
        let store = try StateStore(self.folder.path, settings: StateSettings(), system: system)
        _ = self.submit(store, [self.entry(1)])
        percent.store(99, ordering: .relaxed)
        milliseconds.store(150, ordering: .relaxed)
        let remove = StateChange.remove(user: self.user, item: self.user, time: 9)
        for result in self.submit(store, [self.entry(2), self.entry(3, change: remove)]) {
            #expect(throws: AnnexError.self) { try result.get() }
        }
        #expect(try self.times(store) == [1])
    }

    /// `--durability interval` answers no entry of the log before it is durable.
    @Test func noEntryIsAnsweredEarly() throws {
        var settings = StateSettings()
        settings.interval = .milliseconds(60)
        let commits = Atomic<Int>(0)
        var system = StateSystem()
        system.commit = { _ in
            commits.add(1, ordering: .sequentiallyConsistent)
            return 0
        }
        let store = try StateStore(self.folder.path, settings: settings, system: system)
        for number in 1...3 {
            let before = commits.load(ordering: .sequentiallyConsistent)
            _ = self.submit(store, [self.entry(UInt64(number))])
            #expect(commits.load(ordering: .sequentiallyConsistent) > before)
        }
    }

    @Test func aBackupBesideAWriterIsAStateOfItsOwn() throws {
        let store = try StateStore(self.folder.file("live"))
        _ = self.submit(store, (1...400).map { self.entry($0) })
        let copy = try TemporaryFolder()
        try StateBackup.copy(self.folder.file("live"), to: copy.file("state.lmdb"))
        _ = self.submit(store, (401...500).map { self.entry($0) })
        let found = try StateStore.inspect(copy.path)
        #expect(found.events == 400 && found.marks[3] == self.mark(400) && found.storeID == store.storeID)
        let restored = try StateStore(copy.path)
        _ = self.submit(restored, (390...500).map { self.entry($0) })
        #expect(try self.times(restored) == self.times(store))
        restored.close()
        try StateBackup.forgetPositions(copy.path)
        #expect(try StateStore.inspect(copy.path).marks == [LogMark](repeating: .start, count: 16))
        #expect(try StateStore.inspect(copy.path).events == 500)
        #expect(throws: AnnexError.self) { try StateBackup.copy(self.folder.file("none"), to: copy.file("x")) }
        #expect(throws: AnnexError.self) { try StateBackup.forgetPositions(self.folder.file("live")) }
    }
}
