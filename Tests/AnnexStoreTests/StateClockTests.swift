import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Synchronization
import Testing

/// The times that a store gives to changes, while the machine's clock is set back.
@Suite struct StateClockTests {
    private let folder: TemporaryFolder
    private let milliseconds = Clock()
    private let user: Identifier

    private final class Clock: Sendable {
        let now = Atomic<Int>(1_700_000_000_000)
        func set(_ milliseconds: Int) { self.now.store(milliseconds, ordering: .sequentiallyConsistent) }
    }

    init() throws {
        self.folder = try TemporaryFolder()
        self.user = try identifier("u")
    }

    private func open(_ notices: Notices = Notices()) throws -> StateStore {
        var system = StateSystem()
        let clock = self.milliseconds
        system.wallClock = { .milliseconds(clock.now.load(ordering: .sequentiallyConsistent)) }
        var settings = StateSettings()
        settings.notice = notices.add
        return try StateStore(self.folder.path, settings: settings, system: system)
    }

    /// A change whose end has passed when the writer comes to it is refused, and nothing of it is stored; those beside it are.
    @Test(arguments: [nil, 60_000]) func whatComesTooLateIsNotStored(_ interval: Int?) throws {
        let start: Int64 = 1_700_000_000_000
        var system = StateSystem()
        let clock = self.milliseconds
        system.wallClock = { .milliseconds(clock.now.load(ordering: .sequentiallyConsistent)) }
        var settings = StateSettings()
        settings.interval = interval.map { .milliseconds($0) }
        let store = try StateStore(self.folder.path, settings: settings, system: system)
        let answers = Mutex<[Int: Result<StateOutcome, AnnexError>]>([:])
        for (number, until) in [start, start - 1, nil, 0, start + 1, .max].enumerated() {
            store.submit(
                .event(user: self.user, item: self.user, weight: 1, time: Int64(number)),
                until: until
            ) { result in answers.withLock { $0[number] = result } }
        }
        let reader = try store.makeReader()
        store.close()
        let found = answers.withLock { $0 }
        #expect(found.count == 6)
        for (number, answer) in found {
            guard case .failure(let error) = answer else { continue }
            #expect([1, 3].contains(number) && error.code == .timeout, "\(number): \(error)")
            #expect(error.message.hasPrefix("nothing was stored"))
        }
        #expect(try reader.user(self.user).events.map(\.time).sorted() == [0, 2, 4, 5])
    }

    /// One hour back, over a restart: an event behind a removal stays behind it.
    @Test func stampsNeverGoBack() throws {
        let start = 1_700_000_000_000
        let notices = Notices()
        let store = try self.open(notices)
        #expect(store.stamp() == start && store.clockProblem == nil)
        self.milliseconds.set(start + 5)
        let removed = store.stamp()
        #expect(removed == start + 5)
        _ = try store.apply(.remove(user: self.user, item: self.user, time: removed))
        self.milliseconds.set(start - 3_600_000)
        #expect(store.stamp() == removed && store.stamp() == removed)
        #expect(notices.all.count == 1 && notices.all.first?.contains("3600 s behind") == true, "\(notices.all)")
        #expect(store.clockProblem?.contains("set the machine's clock") == true)
        #expect(store.counts.clockBehindMillis == 3_600_005)
        store.close()
        let later = Notices()
        let again = try self.open(later)
        #expect(later.all.count == 1, "\(later.all)")
        let stamp = again.stamp()
        #expect(stamp == removed)
        _ = try again.apply(.stampedEvent(user: self.user, item: self.user, weight: 1, time: stamp))
        let found = try again.makeReader().user(self.user)
        #expect(found.events.map(\.time) == [removed] && found.removed[self.user] == removed)
        // What was advised: the clock is set right.
        self.milliseconds.set(start + 10)
        #expect(again.stamp() == start + 10 && again.clockProblem == nil && again.counts.clockBehindMillis == 0)
        #expect(later.all.count == 2)
        again.close()
        print("stampsNeverGoBack: 2 jumps")
    }

    /// What time servers do is not told, and stamps stay in order all the same.
    @Test func aFewSecondsAreNotTold() throws {
        let notices = Notices()
        let store = try self.open(notices)
        let first = store.stamp()
        self.milliseconds.set(Int(first) - 10_000)
        #expect(store.stamp() == first && notices.all.isEmpty && store.clockProblem == nil)
        self.milliseconds.set(Int(first) - 10_001)
        #expect(store.stamp() == first && notices.all.count == 1)
    }

    /// Another server's stamps come with the log. One whose clock is ahead of the log's moves ours 10 s at most.
    @Test(arguments: [0, 9_000, 3_600_000]) func entriesOfTheLogRaiseStamps(_ ahead: Int64) throws {
        let store = try self.open()
        let position = store.stamp() + 50_000
        let change = StateChange.remove(user: self.user, item: self.user, time: position + ahead)
        let entry = LoggedChange(
            block: 0,
            after: .start,
            position: LogPosition(milliseconds: UInt64(position), sequence: 0),
            change: change
        )
        let done = DispatchSemaphore(value: 0)
        store.submit([entry]) { _, result in
            #expect((try? result.get()) != nil)
            done.signal()
        }
        #expect(done.wait(timeout: .now() + 20) == .success)
        #expect(store.stamp() == position + min(ahead, 10_000))
        #expect(try store.makeReader().user(self.user).removed[self.user] == position + ahead)
    }
}
