import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Synchronization
import Testing

/// Groups, their bounds, the map's growth and the lock.
@Suite struct StateWriterTests {
    /// 64 threads that each wait for their answer share commits, and all that was acknowledged is there afterwards.
    @Test func manyWaitersShareACommit() throws {
        let folder = try TemporaryFolder()
        let store = try StateStore(folder.path)
        let (threads, each) = (64, 60)
        let acknowledged = Mutex<[Identifier: Int]>([:])
        let clock = ContinuousClock()
        let alone = try clock.measure {
            for time in 0..<100 {
                let one = try identifier("one")
                #expect(try store.apply(.event(user: one, item: one, weight: 1, time: Int64(time))) == .added)
            }
        }
        let before = store.counts
        let spent = clock.measure {
            let done = DispatchGroup()
            for number in 0..<threads {
                done.enter()
                Thread {
                    defer { done.leave() }
                    guard let user = Identifier("user-\(number)") else { return }
                    for time in 0..<each {
                        let change = StateChange.event(user: user, item: user, weight: 1, time: Int64(time))
                        guard (try? store.apply(change)) == .added else { return }
                        acknowledged.withLock { $0[user, default: 0] += 1 }
                    }
                }.start()
            }
            #expect(done.wait(timeout: .now() + 120) == .success)
        }
        let after = store.counts
        let commits = after.commits - before.commits
        #expect(after.changes - before.changes == threads * each)
        #expect(commits < threads * each / 4)
        #expect(before.commits == 100)
        store.close()
        let again = try StateStore(folder.path)
        let reader = try again.makeReader()
        let counted = acknowledged.withLock { $0 }
        #expect(counted.count == threads)
        for (user, count) in counted {
            #expect(count == each)
            #expect(try reader.user(user).events.count == count)
        }
        #expect(again.counts.events == threads * each + 100)
        let rate = { (count: Int, time: Duration) in Int(Double(count) / (time / .seconds(1))) }
        print(
            "manyWaitersShareACommit: \(rate(100, alone)) events/s one at a time, "
                + "\(rate(threads * each, spent)) events/s for \(threads) waiters in \(commits) commits"
        )
    }

    /// Holds the writer in its first commit.
    private final class Brake: Sendable {
        let reached = DispatchSemaphore(value: 0)
        let release = DispatchSemaphore(value: 0)
        private let commits = Mutex<[Int]>([])
        /// Changes of each commit.
        var sizes: [Int] { self.commits.withLock { $0 } }

        var system: StateSystem {
            var system = StateSystem()
            system.commit = { changes in
                let isFirst = self.commits.withLock {
                    $0.append(changes)
                    return $0.count == 1
                }
                if isFirst {
                    self.reached.signal()
                    self.release.wait()
                }
                return 0
            }
            return system
        }
    }

    @Test func theQueueHasALimitAndKeepsItsOrder() throws {
        let folder = try TemporaryFolder()
        let brake = Brake()
        var settings = StateSettings()
        settings.waitingLimit = 100
        settings.groupLimit = 64
        let store = try StateStore(folder.path, settings: settings, system: brake.system)
        let user = try identifier("u")
        let answers = Mutex<[(Int, Result<StateOutcome, AnnexError>)]>([])
        let submit = { (number: Int) in
            // All at one time, so that the last one that was let in must win.
            store.submit(.event(user: user, item: user, weight: Double(number), time: 1)) { result in
                answers.withLock { $0.append((number, result)) }
            }
        }
        submit(-1)
        #expect(brake.reached.wait(timeout: .now() + 10) == .success)
        for number in 0..<100 { submit(number) }
        #expect(store.counts.waiting == 100)
        #expect(answers.withLock { $0.isEmpty })
        submit(100)
        #expect(answers.withLock { $0.count } == 1)
        #expect(throws: AnnexError.self) { try answers.withLock { $0[0].1 }.get() }
        if case .failure(let error) = answers.withLock({ $0[0].1 }) { #expect(error.code == .overloaded) }
        brake.release.signal()
        let reader = try store.makeReader()
        store.close()
        #expect(answers.withLock { $0.map(\.0) } == [100] + Array(-1..<100))
        #expect(answers.withLock { $0.dropFirst().allSatisfy { (try? $0.1.get()) != nil } })
        #expect(brake.sizes == [1, 64, 36])
        #expect(try reader.user(user).events == [StateEvent(user, 99, 1)])
        // Closed: nothing more gets in, and what reads still reads.
        submit(101)
        #expect(throws: AnnexError.self) { try answers.withLock { $0.last?.1 }?.get() }
        #expect(throws: AnnexError.self) { try store.makeReader() }
    }

    @Test func theMapGrowsWhileReadersRead() throws {
        let folder = try TemporaryFolder()
        var settings = StateSettings()
        settings.mapBytes = 1 << 20
        let store = try StateStore(folder.path, settings: settings)
        let isOver = Atomic<Bool>(false)
        let scopes = Atomic<Int>(0)
        let first = try identifier("user-0")
        _ = try store.apply(.event(user: first, item: first, weight: 1, time: 0))
        let readers = DispatchGroup()
        for _ in 0..<3 {
            readers.enter()
            Thread {
                defer { readers.leave() }
                guard let reader = try? store.makeReader() else {
                    Issue.record("no reader")
                    return
                }
                while !isOver.load(ordering: .relaxed) {
                    guard let found = try? reader.user(first), found.events.first == StateEvent(first, 1, 0) else {
                        Issue.record("a reader did not find what was there")
                        return
                    }
                    scopes.wrappingAdd(1, ordering: .relaxed)
                }
            }.start()
        }
        let item = try identifier(String(repeating: "i", count: 200))
        for block in 0..<40 {
            let changes = try (0..<2_000).map { number in
                let user = try identifier("user-\(block * 400 + number % 400)")
                return StateChange.event(user: user, item: item, weight: 1, time: Int64(number + 1))
            }
            #expect(store.apply(changes).allSatisfy { (try? $0.get()) == .added })
        }
        isOver.store(true, ordering: .relaxed)
        #expect(readers.wait(timeout: .now() + 60) == .success)
        let counts = store.counts
        #expect(counts.events == 80_001)
        #expect(counts.growths >= 4 && counts.mapBytes >= 16 << 20 && counts.mapBytes == (1 << 20) << counts.growths)
        // The bar is 20 ms; a busy machine may take a thread off its core in the middle.
        #expect(counts.longestPauseMicroseconds < 250_000)
        print(
            "theMapGrowsWhileReadersRead: 1 to \(counts.mapBytes >> 20) MiB, \(scopes.load(ordering: .relaxed)) reads, "
                + "longest pause \(counts.longestPauseMicroseconds) µs"
        )
        store.close()
        #expect(try StateStore.inspect(folder.path).events == 80_001)
    }

    /// A reader that stays inside holds growing up, though neither other readers nor, for long, the writer.
    @Test func aSlowReaderDoesNotStopOthers() throws {
        let folder = try TemporaryFolder()
        var settings = StateSettings()
        settings.mapBytes = 256 << 10
        let store = try StateStore(folder.path, settings: settings)
        let slow = try store.makeReader()
        let other = try store.makeReader()
        let user = try identifier("u")
        let item = try identifier(String(repeating: "i", count: 250))
        let done = DispatchGroup()
        try user.bytes.withUnsafeBytes { id in
            try slow.withRead { view throws(AnnexError) in
                for time in 0..<2_000 {
                    done.enter()
                    store.submit(.event(user: user, item: item, weight: 1, time: Int64(time))) { result in
                        #expect((try? result.get()) == .added)
                        done.leave()
                    }
                }
                #expect(done.wait(timeout: .now() + 0.5) == .timedOut)
                // Some may have come before the map was full.
                #expect((try? other.user(user)).map { $0.events.count < 2_000 } == true)
                let mark = try view.mark(of: Span(_unsafeBytes: id))
                #expect(mark == nil)
            }
        }
        #expect(done.wait(timeout: .now() + 20) == .success)
        #expect(try slow.user(user).events.count == 2_000)
        // Half a second without the gate's patience; 8 ms with it, and room for a busy machine.
        #expect(store.counts.longestPauseMicroseconds < 250_000)
    }

    @Test func oneProcessAtATime() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("a/b/state")
        let store = try StateStore(path)
        let error = #expect(throws: AnnexError.self) { try StateStore(path) }
        #expect(error?.code == .busy)
        #expect(error?.description.contains("process \(getpid())") == true)
        #expect(throws: AnnexError.self) { try StateStore.inspect(path) }
        store.close()
        #expect(try StateStore.inspect(path).events == 0)
        _ = try StateStore(path)
        let absent = #expect(throws: AnnexError.self) { try StateStore.inspect(folder.file("absent")) }
        #expect(absent?.code == .notFound)
        #expect(!FileManager.default.fileExists(atPath: folder.file("absent")))
    }

    /// A start beside a process that is about to end waits for it, and says so.
    @Test func aStartWaitsForTheLock() throws {
        let folder = try TemporaryFolder()
        let first = try StateStore(folder.path)
        let isWaiting = DispatchSemaphore(value: 0)
        var settings = StateSettings()
        settings.lockPatience = .seconds(30)
        settings.notice = { text in
            #expect(text.contains("in use by another process"))
            isWaiting.signal()
        }
        let opened = Mutex<Result<StateStore, any Error>?>(nil)
        let done = DispatchSemaphore(value: 0)
        let waiting = settings
        Thread {
            let result = Result { try StateStore(folder.path, settings: waiting) }
            opened.withLock { $0 = result }
            done.signal()
        }.start()
        #expect(isWaiting.wait(timeout: .now() + 20) == .success)
        #expect(opened.withLock { $0 == nil })
        first.close()
        #expect(done.wait(timeout: .now() + 20) == .success)
        let second = try #require(try opened.withLock { try $0?.get() })
        settings.lockPatience = .milliseconds(1)
        settings.notice = { _ in }
        let error = #expect(throws: AnnexError.self) { try StateStore(folder.path, settings: settings) }
        #expect(error?.code == .busy)
        second.close()
    }

    @Test func readersHaveALimit() throws {
        let folder = try TemporaryFolder()
        var settings = StateSettings()
        settings.readerLimit = 8
        let store = try StateStore(folder.path, settings: settings)
        var readers: [StateReader] = []
        var refused: AnnexError?
        while refused == nil, readers.count < 200 {
            do { readers.append(try store.makeReader()) } catch { refused = error }
        }
        #expect(refused?.code == .limit)
        #expect(readers.count >= 7)
        readers.removeLast()
        readers.append(try store.makeReader())
        for reader in readers { #expect(try reader.user(identifier("u")).mark == nil) }
    }

    @Test func copiesAreWholeStoresOfOneMoment() throws {
        let folder = try TemporaryFolder()
        var settings = StateSettings()
        settings.mapBytes = 256 << 10
        let store = try StateStore(folder.file("state"), settings: settings)
        let user = try identifier("u")
        let events = (0..<3_000).map { StateChange.event(user: user, item: user, weight: 1, time: Int64($0)) }
        _ = store.apply(events)
        try FileManager.default.createDirectory(atPath: folder.file("copy"), withIntermediateDirectories: true)
        let done = DispatchGroup()
        for time in 3_000..<6_000 {
            done.enter()
            store.submit(.event(user: user, item: user, weight: 1, time: Int64(time))) { _ in done.leave() }
        }
        for _ in 0..<3 { try store.copy(to: folder.file("copy/state.lmdb")) }
        #expect(done.wait(timeout: .now() + 60) == .success)
        #expect(store.counts.events == 6_000 && store.counts.growths > 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("copy")) == ["state.lmdb"])
        let inspection = try StateStore.inspect(folder.file("copy"))
        #expect(inspection.events >= 3_000 && inspection.damagedRecords == 0 && inspection.storeID == store.storeID)
        let copy = try StateStore(folder.file("copy"))
        let times = try copy.makeReader().user(user).events.map(\.time)
        #expect(times == (0..<Int64(inspection.events)).map(\.self))
        let error = #expect(throws: AnnexError.self) { try store.copy(to: folder.file("absent/state.lmdb")) }
        #expect(error?.code == .system)
    }
}
