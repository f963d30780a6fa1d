import AnnexCore
import AnnexEngine
import AnnexLinearAlgebra
import AnnexStore
import AnnexTestSupport
import AnnexVersionSupport
import Dispatch
import Synchronization
import Testing

/// What a question about a user with a very long history costs: by what is asked for, counted in what is read.
@Suite struct LongHistoryTests {
    private static let items = 70_000
    private static let trained = 60_000

    /// `u1` has 60,000 trained items, `u2` none and 2,000 events on 40 items.
    private final class Shop {
        let small: SmallVersion
        let folder: TemporaryFolder
        let state: StateStore
        let version: ServedVersion
        let context: QueryContext

        init() throws {
            let history = (0..<Int32(LongHistoryTests.trained)).map { HistoryEntry(ordinal: $0, weight: 1) }
            self.small = try SmallVersion(
                items: LongHistoryTests.items,
                users: 4,
                dimension: 4,
                kind: "Flat",
                foldIn: .als(regularization: 1, alpha: 1),
                histories: ["u1": history]
            )
            self.folder = try TemporaryFolder()
            self.state = try StateStore(self.folder.file("shop"))
            self.version = try ServedVersion(loading: self.small.description, state: self.state)
            self.context = try QueryContext(self.version)
        }

        deinit { self.state.close() }

        func record(_ changes: [UserChange]) throws { try Self.record(changes, self.version) }

        static func record(_ changes: [UserChange], _ version: ServedVersion) throws {
            let failures = Mutex<[AnnexError]>([])
            let group = DispatchGroup()
            for change in changes {
                group.enter()
                version.record([change]) { _, result in
                    if case .failure(let error) = result { failures.withLock { $0.append(error) } }
                    group.leave()
                }
            }
            group.wait()
            #expect(failures.withLock { $0.isEmpty })
        }

        func event(_ user: String, _ item: String, at time: Int64) throws -> UserChange {
            let (user, item) = (try #require(Identifier(user)), try #require(Identifier(item)))
            return .event(user: user, item: item, weight: 1, time: time)
        }

        /// What `body` reads of histories.
        func reads<R>(_ body: (QueryContext) throws -> R) rethrows -> (R, Int) {
            let before = self.context.historyRead
            let result = try body(self.context)
            return (result, self.context.historyRead - before)
        }

        func seen(_ user: String, _ count: Int, limit: Int = .max) throws -> ([SeenItem]?, Int) {
            try self.reads { context in
                try context.seen(by: Array(user.utf8).span, count: count, limit: limit)
            }
        }
    }

    @Test func seenReadsWhatIsAskedFor() throws {
        let shop = try Shop()
        try shop.record((0..<2_000).map { try shop.event("u2", "i\($0 % 40)", at: 5_000 + Int64($0)) })
        for count in [1, 10, 40] {
            let (found, read) = try shop.seen("u2", count)
            #expect(found?.count == count && read == count, "COUNT \(count) read \(read) of 2,000 events")
            #expect(found?.first?.time == 6_999)
        }
        let (all, read) = try shop.seen("u2", .max)
        #expect(all?.count == 40 && read == 2_000)
        let (ten, readOfTen) = try shop.seen("u1", 10)
        #expect(ten?.count == 10 && readOfTen == 10, "of 60,000 trained items")
        // What would read more than is allowed says so, having read no more than that.
        let (none, readOfNone) = try shop.seen("u1", .max, limit: 200)
        #expect(none == nil && readOfNone == 201)
        let (some, readOfSome) = try shop.seen("u2", 41, limit: 200)
        #expect(some == nil && readOfSome == 201)
    }

    /// As before: events newest first, each item once, then what is left of the trained history.
    @Test func seenIsWhatItWas() throws {
        let shop = try Shop()
        let names = (0..<Int32(4)).map { shop.version.identifierForTest($0) }
        try shop.record([
            shop.event("u1", names[1], at: 900), shop.event("u1", "unknown-item", at: 950),
            .remove(user: try #require(Identifier("u1")), item: try #require(Identifier(names[2]))),
            shop.event("u1", names[0], at: 4_000),
        ])
        let (found, _) = try shop.seen("u1", 5)
        let list = try #require(found).map { String(decoding: $0.item, as: UTF8.self) }
        #expect(list == [names[0], "unknown-item", names[1], names[3], shop.version.identifierForTest(4)])
        #expect(found?.map(\.time) == [4_000, 950, 900, nil, nil])
    }

    /// An event more costs an event more, however long the history is; and none of it happens where only a loop's time is allowed.
    @Test func anEventOfALongHistoryIsAddedToWhatIsKept() throws {
        let shop = try Shop()
        let id = Array("u1".utf8)
        func use(_ budget: Double) throws -> UserReadiness {
            try shop.context.useUser(id.span, UserRequest(budgetNanos: budget))
        }
        try shop.record([shop.event("u1", "i65000", at: 10_000)])
        let (first, readAtFirst) = try shop.reads { _ in try use(.infinity) }
        #expect(first == .ready && readAtFirst >= Self.trained)
        let (again, readAgain) = try shop.reads { _ in try use(300_000) }
        #expect(again == .ready && readAgain == 0)
        try shop.record([shop.event("u1", "i65001", at: 10_001)])
        let (onLoop, readOnLoop) = try shop.reads { _ in try use(300_000) }
        #expect(onLoop == .costly && readOnLoop == 0, "60,000 items are copied, which is no work for a loop")
        let (elsewhere, read) = try shop.reads { _ in try use(.infinity) }
        #expect(elsewhere == .ready && read == 1, "\(read) events and trained items were read for one event")
        #expect(
            shop.context.excludedCount == Self.trained + (try self.isTrained(shop, "i65000") ? 0 : 1)
                + (try self.isTrained(shop, "i65001") ? 0 : 1)
        )
    }

    private func isTrained(_ shop: Shop, _ item: String) throws -> Bool {
        let ordinal = shop.context.ordinal(of: Array(item.utf8).span)
        return try #require(ordinal) < Int32(Self.trained)
    }

    /// A trained history that nobody has marked yet is not marked on a loop.
    @Test func aLongTrainedHistoryIsMarkedElsewhere() throws {
        let shop = try Shop()
        let id = Array("u1".utf8)
        func use(_ budget: Double, _ excluded: [Int32] = []) throws -> UserReadiness {
            try shop.context.useUser(id.span, UserRequest(excluded: excluded, budgetNanos: budget))
        }
        #expect(try use(300_000) == .costly)
        #expect(try use(.infinity) == .ready)
        let (kept, read) = try shop.reads { _ in try use(300_000) }
        #expect(kept == .ready && read == 0)
        // Items that the request leaves out besides have the marks made once more.
        #expect(try use(100_000, [69_999]) == .costly)
        #expect(try use(.infinity, [69_999]) == .ready)
        #expect(shop.context.excludedCount == Self.trained + 1)
    }

    /// `EVENT.DEL` says whether the trained history had the item: looked up, in the index of events and without one, and right
    /// whatever was removed and came back.
    @Test(arguments: [4, 1_000]) func removalsAreLookedUp(_ walkLimit: Int) throws {
        let trained = 20
        let history = (0..<Int32(trained)).map { HistoryEntry(ordinal: $0, weight: 1) }
        let small = try SmallVersion(
            items: 60,
            users: 2,
            dimension: 4,
            kind: "Flat",
            histories: ["u1": history],
            trainedUntil: 4_000_000_000_000
        )
        let folder = try TemporaryFolder()
        var settings = StateSettings()
        settings.walkLimit = walkLimit
        let state = try StateStore(folder.path, settings: settings)
        defer { state.close() }
        state.waitUntilChecked()
        let version = try ServedVersion(loading: small.description, state: state)
        let context = try QueryContext(version)
        let user = try #require(Identifier("u1"))
        let items = try (0..<Int32(30)).map { try #require(Identifier(version.identifierForTest($0))) }
        var random = SeededRandom(seed: 20_261_201)
        /// Items that were removed, and those that came back at a time between the removal and the cut.
        var (removed, lifted): (Set<Int>, Set<Int>) = ([], [])
        var compared = 0
        for turn in 0..<120 {
            let item = random.below(30)
            if random.below(3) == 0 {
                try Shop.record([.remove(user: user, item: items[item])], version)
                removed.insert(item)
                lifted.remove(item)
            } else {
                let isLater = random.below(2) == 0
                let time = isLater ? 3_900_000_000_000 + Int64(turn) : 5_000 + Int64(turn)
                try Shop.record([.event(user: user, item: items[item], weight: 1, time: time)], version)
                if isLater { lifted.insert(item) }
            }
            for other in 0..<30 {
                let has = other < trained && (!removed.contains(other) || lifted.contains(other))
                #expect(try context.trainedHistory(of: user, has: items[other]) == has, "turn \(turn), item \(other)")
                compared += 1
            }
        }
        #expect(compared == 3_600 && !removed.isEmpty && !lifted.isEmpty)
    }

    // MARK: What is popular

    @Test func popularityReadsWhatHasChanged() throws {
        let shop = try Shop()
        let decay = PopularItems.Decay(halfLifeDays: nil)
        func count() throws -> Int {
            let before = shop.version.popularityRead.load(ordering: .relaxed)
            try shop.version.countPopular(decay)
            return shop.version.popularityRead.load(ordering: .relaxed) - before
        }
        func best(_ k: Int) -> [Int32] {
            #expect(shop.context.usePopular(k: k))
            return shop.context.hits.map(\.ordinal)
        }
        try shop.record((0..<50).map { try shop.event("u2", "i7", at: 5_000 + Int64($0)) })
        #expect(try count() == Self.trained + 50)
        let seventh = shop.context.ordinal(of: Array("i7".utf8).span)
        let favourite = try #require(seventh)
        #expect(best(1) == [favourite])
        #expect(try count() == 0, "nothing has changed")
        #expect(best(1) == [favourite])
        try shop.record((0..<60).map { try shop.event("u3", "i8", at: 5_000 + Int64($0)) })
        #expect(try count() == 110, "events only: trained histories are as they were")
        let eighth = shop.context.ordinal(of: Array("i8".utf8).span)
        let other = try #require(eighth)
        #expect(best(2) == [other, favourite])
        // Who is forgotten counts for nothing any more, trained history and all.
        try shop.record([.forget(user: try #require(Identifier("u1")))])
        #expect(try count() == 110)
        #expect(best(2) == [other, favourite])
        let fresh = try ServedVersion(loading: shop.small.description, state: shop.state)
        try fresh.countPopular(decay)
        let context = try QueryContext(fresh)
        #expect(context.usePopular(k: 500))
        let expected = context.hits
        #expect(shop.context.usePopular(k: 500) && shop.context.hits == expected)
    }

    /// Counting takes at most a fiftieth of a thread's time.
    @Test func countingPausesAsLongAsItTakes() {
        for spent in [0, 0.1, 1, 10, 1_000] {
            let pause = PopularitySchedule.pause(afterSpending: spent)
            #expect(pause >= 60 && spent / (spent + pause) <= 0.0201)
        }
        #expect(PopularitySchedule.pause(afterSpending: 1) == 60)
    }
}

extension ServedVersion {
    func identifierForTest(_ ordinal: Int32) -> String {
        guard let context = try? QueryContext(self) else { return "" }
        var name = ""
        context.withIdentifier(ordinal) { name = String(decoding: Array(copying: $0), as: UTF8.self) }
        return name
    }
}
