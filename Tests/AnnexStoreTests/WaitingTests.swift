import AnnexCore
import AnnexStore
import AnnexTestSupport
import Dispatch
import Foundation
import Synchronization
import Testing

/// What a state waits for, by a clock that goes on only where somebody sleeps: minutes pass in no time, and every sleep is counted.
@Suite struct WaitingTests {
    private let folder: TemporaryFolder
    private let clock = SleepingClock()

    init() throws { self.folder = try TemporaryFolder() }

    /// Turned on by whoever sleeps, and then asked what happens meanwhile.
    private final class SleepingClock: Sendable {
        private let slept = Mutex(Duration.zero)
        private let meanwhile = Mutex<(@Sendable (_ number: Int) -> Void)?>(nil)
        private let sleeps = Atomic<Int>(0)

        var now: Duration { self.slept.withLock { $0 } }
        var count: Int { self.sleeps.load(ordering: .sequentiallyConsistent) }

        func whileSleeping(_ body: @escaping @Sendable (_ number: Int) -> Void) {
            self.meanwhile.withLock { $0 = body }
        }

        var system: StateSystem {
            var system = StateSystem()
            system.now = { self.now }
            system.sleep = { time in
                self.slept.withLock { $0 += time }
                let number = self.sleeps.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
                self.meanwhile.withLock { $0 }?(number)
            }
            return system
        }
    }

    /// A minute of `interval:60000`: what comes while the writer waits goes into one commit, and none before the minute is over.
    @Test func changesGatherForTheInterval() throws {
        let commits = Mutex<[(time: Duration, changes: Int)]>([])
        let clock = self.clock
        var system = clock.system
        system.commit = { changes in
            commits.withLock { $0.append((clock.now, changes)) }
            return 0
        }
        var settings = StateSettings()
        settings.interval = .seconds(60)
        let store = try StateStore(self.folder.path, settings: settings, system: system)
        let user = try identifier("u")
        @Sendable func send(_ time: Int64) {
            store.submit(.event(user: user, item: user, weight: 1, time: time), until: nil) { _ in }
        }
        clock.whileSleeping { number in if number <= 40 { send(Int64(number)) } }
        // A removal is answered when it is on the disk, so that this waits for the first commit.
        _ = try store.apply(.remove(user: user, item: user, time: 1_000))
        _ = try store.apply(.remove(user: user, item: user, time: 2_000))
        store.close()
        let found = commits.withLock { $0 }
        let gathered = try #require(found.first { $0.changes >= 40 }, "\(found)")
        #expect(found[0].changes == 1)
        #expect(gathered.time - found[0].time >= .seconds(60), "\(found)")
        #expect(clock.count >= 60_000 / 20)
        print("changesGatherForTheInterval: \(clock.count) sleeps of 20 ms, commits of \(found.map(\.changes)) changes")
    }

    /// A reader that stays keeps the gate's body from running until the limit; one that leaves meanwhile does not.
    @Test func theGateWaitsForReaders() {
        let gate = ReadGate(self.clock.system)
        gate.enter()
        var isRun = false
        #expect(gate.whileEmpty(limit: .seconds(5)) { isRun = true } == nil)
        #expect(!isRun && self.clock.now >= .seconds(5) && self.clock.now < .seconds(6))
        let before = self.clock.count
        self.clock.whileSleeping { number in if number == before + 3 { gate.leave() } }
        let kept = gate.whileEmpty(limit: .seconds(5)) { isRun = true }
        // The reader left in the third look, 50 µs each.
        #expect(isRun && kept == .microseconds(150))
        gate.enter()
        gate.leave()
        #expect(self.clock.count == before + 3, "a reader waited at an open gate")
    }

    /// Whoever comes to a closed gate waits until it is open.
    @Test func readersWaitAtAClosedGate() {
        let gate = ReadGate(self.clock.system)
        let (waits, entered) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        self.clock.whileSleeping { _ in waits.signal() }
        let kept = gate.whileEmpty(limit: .seconds(1)) {
            Thread {
                gate.enter()
                entered.signal()
                gate.leave()
            }.start()
            #expect(waits.wait(timeout: .now() + 20) == .success)
            #expect(entered.wait(timeout: .now()) == .timedOut, "a reader came through a closed gate")
        }
        #expect(kept != nil && entered.wait(timeout: .now() + 20) == .success)
    }

    /// A state that another holds: said once, tried for as long as was asked, and refused with the advice.
    @Test func theLockIsWaitedFor() throws {
        let first = try StateStore(self.folder.path)
        let notices = Notices()
        var settings = StateSettings()
        settings.lockPatience = .seconds(10)
        settings.notice = notices.add
        let (path, system) = (self.folder.path, self.clock.system)
        let error = #expect(throws: AnnexError.self) { try StateStore(path, settings: settings, system: system) }
        #expect(error?.code == .busy)
        #expect(self.clock.now == .seconds(10) && self.clock.count == 500, "\(self.clock.count) looks")
        #expect(notices.all.count == 1 && notices.all[0].contains("for at most 10 s"), "\(notices.all)")
        // What the notice promises: it goes on as soon as the other lets go.
        let before = self.clock.count
        self.clock.whileSleeping { number in if number == before + 7 { first.close() } }
        // Hours by this clock: the lock is free when the thread that wrote is gone, which takes real time.
        settings.lockPatience = .seconds(36_000)
        let second = try StateStore(path, settings: settings, system: system)
        second.close()
        #expect(self.clock.count >= before + 7)
    }
}
