import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Synchronization
import Testing

/// The index of a user's events by item: what it saves, that it is right, and that it is never believed before it is.
@Suite struct StateIndexTests {
    private let folder: TemporaryFolder
    private let user: Identifier

    init() throws {
        self.folder = try TemporaryFolder()
        self.user = try identifier("a-user-with-many-events")
    }

    /// A store whose users are indexed from nine events on.
    private func open(checksRecords: Bool = true, _ notices: Notices = Notices()) throws -> StateStore {
        var settings = StateSettings()
        settings.walkLimit = 8
        settings.checksRecords = checksRecords
        settings.notice = notices.add
        return try StateStore(self.folder.path, settings: settings)
    }

    private func fill(_ store: StateStore, events: Int, items: Int) throws {
        let changes = try (0..<events).map { number in
            let item = try identifier("item-\(number % items)")
            return StateChange.event(user: self.user, item: item, weight: 1, time: Int64(number))
        }
        for result in store.apply(changes) { #expect(try result.get() == .added) }
    }

    @Test func removingFromManyEventsWalksNone() throws {
        let store = try StateStore(self.folder.path)
        store.waitUntilChecked()
        try self.fill(store, events: 5_000, items: 500)
        #expect(store.counts.walkedRecords == 0)
        for number in 0..<100 {
            let item = try identifier("item-\(number)")
            #expect(try store.apply(.remove(user: self.user, item: item, time: 9_000)) == .removed(wasThere: true))
            #expect(try store.apply(.remove(user: self.user, item: item, time: 9_000)) == .removed(wasThere: false))
        }
        #expect(store.counts.walkedRecords == 0)
        let left = try store.makeReader().user(self.user).events
        #expect(left.count == 4_000 && left.allSatisfy { $0.time % 500 >= 100 })
    }

    /// 20,000 stamps of one item lie ahead of the clock: the next comes behind them, and no event is walked for it.
    @Test func aStampBehindManyIsFoundWithoutAWalk() throws {
        let store = try StateStore(self.folder.path)
        store.waitUntilChecked()
        let changes = (0..<20_000).map {
            StateChange.event(user: self.user, item: self.user, weight: 1, time: 1_000 + Int64($0))
        }
        for result in store.apply(changes) { #expect(try result.get() == .added) }
        for number in 0..<10 {
            let stamped = StateChange.stampedEvent(user: self.user, item: self.user, weight: 1, time: 1_000)
            #expect(try store.apply(stamped) == .added)
            let newest = try store.makeReader().user(self.user).mark?.newest
            #expect(newest == 21_000 + Int64(number))
        }
        #expect(store.counts.walkedRecords == 0 && store.counts.events == 20_010)
    }

    /// Opened again, the index is as the events are.
    @Test func theIndexFollowsEveryChange() throws {
        var random = SeededRandom(seed: 20_261_130)
        let items = try (0..<12).map { try identifier("item-\($0)") }
        var model = StateModel()
        for turn in 0..<6 {
            let notices = Notices()
            let store = try self.open(notices)
            store.waitUntilChecked()
            #expect(store.counts.isChecked && notices.all.isEmpty, "turn \(turn): \(notices.all)")
            for _ in 0..<300 {
                let user = random.below(3) == 0 ? items[0] : self.user
                let (item, time) = (items[random.below(items.count)], Int64(random.below(60)))
                let change: StateChange =
                    switch random.below(40) {
                    case 0: .forget(user: user, hash: StateModel.hash(user), time: time)
                    case 1..<9: .remove(user: user, item: item, time: time)
                    case 9..<15: .stampedEvent(user: user, item: item, weight: 1, time: time)
                    default: .event(user: user, item: item, weight: Double(random.below(3)), time: time)
                    }
                #expect(try store.apply(change) == model.apply(change))
            }
            for user in [self.user, items[0]] { try model.expectEqual(store.makeReader(), user) }
            store.close()
        }
    }

    /// One byte of an entry is wrong: removing still finds all events, before the index is mended and after.
    @Test(arguments: [false, true]) func aDamagedIndexHidesNoEvent(_ isMended: Bool) throws {
        let store = try self.open()
        store.waitUntilChecked()
        try self.fill(store, events: 40, items: 4)
        store.close()
        try self.damageEntry("item-2", time: 10)
        let notices = Notices()
        let again = try self.open(checksRecords: isMended, notices)
        again.waitUntilChecked()
        #expect(again.counts.isChecked == isMended)
        #expect(notices.all.count == (isMended ? 1 : 0), "\(notices.all)")
        let item = try identifier("item-2")
        #expect(try again.apply(.remove(user: self.user, item: item, time: 100)) == .removed(wasThere: true))
        #expect(again.counts.walkedRecords == (isMended ? 0 : 40))
        let left = try again.makeReader().user(self.user).events
        #expect(left.count == 30 && left.allSatisfy { $0.item != item.bytes })
        again.close()
        print("aDamagedIndexHidesNoEvent: 1 fault, \(isMended ? "mended" : "not believed")")
    }

    /// Changes the last byte of the time in an entry of the index, and not in the event.
    private func damageEntry(_ item: String, time: UInt8) throws {
        let url = URL(fileURLWithPath: self.folder.file("state.lmdb"))
        var data = try Data(contentsOf: url)
        let entry = Data([UInt8(item.utf8.count)] + Array(item.utf8) + [0x80, 0, 0, 0, 0, 0, 0, time])
        var from = data.startIndex
        var found = 0
        while let range = data.range(of: entry, in: from..<data.endIndex) {
            data[range.upperBound - 1] += 1
            from = range.upperBound
            found += 1
        }
        #expect(found > 0)
        try data.write(to: url)
    }

    /// A clock that moves 1 ms each time it is read: no transaction takes more than 5 ms, and none is lost.
    @Test func aTransactionEndsAfterFiveMilliseconds() throws {
        let sizes = Mutex<[Int]>([])
        let ticks = Atomic<Int>(0)
        let gate = DispatchSemaphore(value: 0)
        var system = StateSystem()
        system.now = { .microseconds(1_000 * ticks.wrappingAdd(1, ordering: .relaxed).newValue) }
        system.work = system.now
        system.commit = { count in
            let isFirst = sizes.withLock {
                $0.append(count)
                return $0.count == 1
            }
            if isFirst { gate.wait() }
            return 0
        }
        let store = try StateStore(self.folder.path, settings: StateSettings(), system: system)
        let answers = Mutex<[Int]>([])
        let done = DispatchGroup()
        for number in -1..<40 {
            done.enter()
            store.submit(.event(user: self.user, item: self.user, weight: 1, time: Int64(number))) { result in
                #expect((try? result.get()) == .added)
                answers.withLock { $0.append(number) }
                done.leave()
            }
        }
        gate.signal()
        #expect(done.wait(timeout: .now() + 20) == .success)
        let found = sizes.withLock { $0 }
        #expect(found.allSatisfy { (1...5).contains($0) } && found.reduce(0, +) == 41, "\(found)")
        #expect(answers.withLock { $0 } == Array(-1..<40))
        #expect(try store.makeReader().user(self.user).events.count == 41)
    }
}

/// What a store said.
final class Notices: Sendable {
    private let said = Mutex<[String]>([])
    var all: [String] { self.said.withLock { $0 } }
    var add: @Sendable (String) -> Void { { text in self.said.withLock { $0.append(text) } } }
}
