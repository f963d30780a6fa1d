import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Testing

/// What each change does, and what readers see of it.
@Suite struct StateRulesTests {
    private let folder: TemporaryFolder
    private let store: StateStore
    private let reader: StateReader

    init() throws {
        self.folder = try TemporaryFolder()
        self.store = try StateStore(self.folder.file("state"))
        self.reader = try self.store.makeReader()
    }

    private func event(_ user: String, _ item: String, _ weight: Double, _ time: Int64) throws -> StateOutcome {
        let change = try StateChange.event(user: identifier(user), item: identifier(item), weight: weight, time: time)
        return try self.store.apply(change)
    }

    private func remove(_ user: String, _ item: String, _ time: Int64) throws -> StateOutcome {
        try self.store.apply(.remove(user: identifier(user), item: identifier(item), time: time))
    }

    private func forget(_ user: String, _ time: Int64) throws -> StateOutcome {
        let user = try identifier(user)
        return try self.store.apply(.forget(user: user, hash: StateModel.hash(user), time: time))
    }

    private func weights(_ user: String) throws -> [Double] {
        try self.reader.user(identifier(user)).events.map { Double(bitPattern: $0.weight) }
    }

    @Test func theSameTimeReplacesAnotherAdds() throws {
        #expect(try self.event("u", "i", 1, 5) == .added)
        #expect(try self.event("u", "i", 2, 6) == .added)
        #expect(try self.event("u", "i", 3, 5) == .replaced)
        #expect(try self.event("u", "j", 4, 5) == .added)
        #expect(try self.weights("u").sorted() == [2, 3, 4])
        let before = try #require(try self.reader.user(identifier("u")).mark)
        let commits = self.store.counts.commits
        #expect(try self.event("u", "i", 3, 5) == .unchanged)
        #expect(try self.reader.user(identifier("u")).mark == before)
        #expect(self.store.counts.commits == commits)
        #expect(self.store.counts.changes == 5)
    }

    // MARK: Together

    /// Changes that are stored together do what they would do one after the other, in one commit.
    @Test func changesTogether() throws {
        var random = SeededRandom(seed: 41)
        var model = StateModel()
        for round in 0..<60 {
            let changes = try (0..<1 + random.below(12)).map { _ in
                let user = try identifier("u\(random.below(4))")
                let item = try identifier("i\(random.below(3))")
                let time = Int64(random.below(6))
                return switch random.below(5) {
                case 0, 1: StateChange.event(user: user, item: item, weight: Double(random.below(3)), time: time)
                case 2: StateChange.stampedEvent(user: user, item: item, weight: 1, time: time)
                case 3: StateChange.remove(user: user, item: item, time: time)
                default: StateChange.forget(user: user, hash: StateModel.hash(user), time: time)
                }
            }
            let (commits, counted) = (self.store.counts.commits, self.store.counts.changes)
            let outcome = try self.store.apply(StateChange(together: changes))
            #expect(outcome == model.apply(StateChange(together: changes)), "round \(round)")
            #expect(self.store.counts.commits <= commits + 1)
            #expect(self.store.counts.changes == counted + changes.count)
            for user in 0..<4 { try model.expectEqual(self.reader, identifier("u\(user)")) }
        }
    }

    /// One change that no state can store keeps the others out.
    @Test func oneBadChangeRefusesAll() throws {
        let user = try identifier("u")
        let changes = try (0..<5).map { number in
            StateChange.event(
                user: user,
                item: try identifier("i"),
                weight: number == 3 ? .nan : 1,
                time: Int64(number)
            )
        }
        let error = #expect(throws: AnnexError.self) { try self.store.apply(.together(changes)) }
        #expect(error?.code == .badInput)
        #expect(try self.reader.user(user).events.isEmpty)
    }

    @Test func zeroHasTwoSigns() throws {
        #expect(try self.event("u", "i", 0.0, 1) == .added)
        #expect(try self.event("u", "i", -0.0, 1) == .replaced)
        #expect(try self.weights("u").map(\.bitPattern) == [(-0.0).bitPattern])
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity]) func weightsAreFinite(_ weight: Double) throws {
        let error = #expect(throws: AnnexError.self) { try self.event("u", "i", weight, 1) }
        #expect(error?.code == .badInput)
        #expect(try self.reader.user(identifier("u")).mark == nil)
    }

    @Test func hashesHaveSixteenBytes() throws {
        let change = StateChange.forget(user: try identifier("u"), hash: [1, 2, 3], time: 1)
        let error = #expect(throws: AnnexError.self) { try self.store.apply(change) }
        #expect(error?.code == .usage)
    }

    @Test func removingDeletesAllTimesAndLeavesATombstone() throws {
        _ = try self.event("u", "i", 1, 5)
        _ = try self.event("u", "i", 1, 6)
        _ = try self.event("u", "j", 7, 6)
        #expect(try self.remove("u", "i", 7) == .removed(wasThere: true))
        #expect(try self.remove("u", "i", 9) == .removed(wasThere: false))
        #expect(try self.remove("u", "i", 8) == .removed(wasThere: false))
        #expect(try self.remove("u", "never", 1) == .removed(wasThere: false))
        var user = try self.reader.user(identifier("u"))
        #expect(user.removed == [try identifier("i"): 9, try identifier("never"): 1])
        #expect(try self.weights("u") == [7])
        // An event behind the tombstone leaves it where it is.
        _ = try self.event("u", "i", 2, 10)
        user = try self.reader.user(identifier("u"))
        #expect(user.removed[try identifier("i")] == 9 && user.events.count == 2)
        #expect(user.mark?.newest == 10)
    }

    /// Not even the id stays; who comes again gets a counter that no user has had.
    @Test func forgettingLeavesAHashOnly() throws {
        _ = try self.event("u", "i", 1, 5)
        _ = try self.remove("u", "j", 6)
        let first = try #require(try self.reader.user(identifier("u")).mark)
        #expect(try self.forget("u", 7) == .forgotten(wasThere: true))
        let user = try self.reader.user(identifier("u"))
        #expect(user.events.isEmpty && user.removed.isEmpty && user.forgottenAt == 7 && user.mark == nil)
        #expect(try self.forget("u", 8) == .forgotten(wasThere: false))
        _ = try self.event("u", "i", 1, 5)
        let third = try #require(try self.reader.user(identifier("u")).mark)
        #expect(third.counter > first.counter + 1 && third.eventCount == 1 && third.newest == 5)
        #expect(try self.reader.user(identifier("u")).forgottenAt == 8)
        #expect(try self.reader.user(identifier("v")).mark == nil)
        #expect(self.store.counts.users == 1)
    }

    @Test func countersOutliveTheProcess() throws {
        let folder = try TemporaryFolder()
        var counters: [UInt64] = []
        var ids: Set<[UInt8]> = []
        for turn in 0..<5 {
            let store = try StateStore(folder.path)
            let user = try identifier("u")
            _ = try store.apply(.event(user: user, item: user, weight: Double(turn), time: 1))
            counters.append(try #require(try store.makeReader().user(user).mark).counter)
            _ = try store.apply(.forget(user: user, hash: StateModel.hash(user), time: 1))
            #expect(try store.makeReader().user(user).mark == nil)
            ids.insert(store.storeID)
            store.close()
        }
        #expect(counters == counters.sorted() && Set(counters).count == counters.count)
        #expect(ids.count == 1 && ids.first?.count == 16)
        #expect(ids.first != self.store.storeID)
    }

    @Test func spellingsAndLengthsOfIds() throws {
        let names = [
            "caf\u{e9}", "cafe\u{301}", "a", String(repeating: "a", count: 255), String(repeating: "a", count: 254),
        ]
        for (index, name) in names.enumerated() {
            #expect(try self.event(name, "i", Double(index), 1) == .added)
            #expect(try self.event("u", name, Double(index), 1) == .added)
        }
        #expect(try self.weights("u").sorted() == [0, 1, 2, 3, 4])
        for (index, name) in names.enumerated() { #expect(try self.weights(name) == [Double(index)]) }
        #expect(try self.remove("u", names[0], 2) == .removed(wasThere: true))
        #expect(try self.weights("u").sorted() == [1, 2, 3, 4])
    }

    @Test func idsOfAnyLengthMayBeAskedFor() throws {
        _ = try self.event("u", "i", 1, 1)
        for bytes in [0, 256, 511, 512, 5_000] {
            let id = [UInt8](repeating: 0x75, count: bytes)
            try self.reader.withRead { view throws(AnnexError) in
                let (mark, forgotten) = (try view.mark(of: id.span), try view.forgottenAt(hash: id))
                #expect(mark == nil && forgotten == nil)
                try view.forEachEvent(of: id.span, newestFirst: true) { _, _, _ in false }
                try view.forEachRemoved(of: id.span) { _, _ in false }
            }
        }
    }

    @Test func timesAreOrderedOverTheirWholeRange() throws {
        let times = [Int64.max, 0, Int64.min, -1, 1, Int64.min + 1, Int64.max - 1]
        for time in times { _ = try self.event("u", "i", 1, time) }
        #expect(try self.reader.user(identifier("u")).events.map(\.time) == times.sorted())
        #expect(try self.reader.user(identifier("u")).mark?.newest == Int64.max)
        var newest: [Int64] = []
        let user = try identifier("u").bytes
        try self.reader.withRead { view throws(AnnexError) in
            try view.forEachEvent(of: user.span, newestFirst: true) { _, _, time in
                newest.append(time)
                return newest.count < 2
            }
        }
        #expect(newest == [Int64.max, Int64.max - 1])
    }

    /// A scope sees what was acknowledged before, and nothing that comes while it runs.
    @Test func aScopeIsOneMoment() throws {
        _ = try self.event("u", "i", 1, 1)
        let user = try identifier("u").bytes
        try self.reader.withRead { view throws(AnnexError) in
            let before = try view.mark(of: user.span)
            #expect((try? self.event("u", "i", 1, 2)) == .added)
            let after = try view.mark(of: user.span)
            #expect(after == before)
        }
        let mark = try self.reader.withRead { view throws(AnnexError) in try view.mark(of: user.span) }
        #expect(mark?.eventCount == 2)
    }
}
