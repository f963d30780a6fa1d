import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Testing

/// `annctl compact-state`: what is folded, what is pruned, and that everything else stays, against dictionaries.
@Suite struct StateCompactionTests {
    private static let seed: UInt64 = 20_261_130
    private static let until: Int64 = 1_700_000_000_500

    private static func changes(_ random: inout SeededRandom, _ count: Int) throws -> [StateChange] {
        let users = try (0..<12).map { try identifier("user-\($0)") }
        let items = try (0..<30).map { try identifier("item-\($0)") }
        return (0..<count).map { _ in
            let user = users[min(random.below(12), random.below(12))]
            let item = items[random.below(30)]
            let time = 1_700_000_000_000 + Int64(random.below(1_000))
            switch random.below(300) {
            case 0: return .forget(user: user, hash: StateModel.hash(user), time: time)
            case 1..<12: return .remove(user: user, item: item, time: time)
            default: return .event(user: user, item: item, weight: Double(random.below(2_000)) / 7 - 30, time: time)
            }
        }
    }

    /// The same rules on dictionaries.
    private static func compacted(_ model: StateModel, trained: Set<Identifier> = []) -> StateModel {
        var out = model
        for (user, state) in model.users {
            var events: [StateModel.Key: Double] = [:]
            var newest: [Identifier: Int64] = [:]
            var sums: [Identifier: Double] = [:]
            for key in state.events.keys.sorted() {
                guard key.time <= Self.until else {
                    events[key] = state.events[key]
                    continue
                }
                newest[key.item] = key.time
                sums[key.item] = sums[key.item].map { $0 + (state.events[key] ?? 0) } ?? state.events[key]
            }
            for (item, time) in newest where !trained.contains(item) || state.removed[item] != nil {
                events[StateModel.Key(time: time, item: item)] = sums[item]
            }
            out.users[user]?.events = events
            if events.isEmpty, state.removed.isEmpty, !state.events.isEmpty { out.known.remove(user) }
        }
        return out
    }

    private func make(_ folder: TemporaryFolder, _ count: Int) throws -> StateModel {
        var random = SeededRandom(seed: Self.seed)
        var settings = StateSettings()
        settings.walkLimit = 50
        let store = try StateStore(folder.path, settings: settings)
        var model = StateModel()
        let changes = try Self.changes(&random, count)
        _ = store.apply(changes)
        for change in changes { _ = model.apply(change) }
        let moved = LoggedChange(
            block: 5,
            after: .start,
            position: LogPosition(milliseconds: 77, sequence: 3),
            change: nil
        )
        store.submit([moved]) { _, result in #expect((try? result.get()) != nil) }
        store.close()
        return model
    }

    @Test(arguments: [false, true]) func whatIsLeftIsWhatTheRulesSay(_ prunes: Bool) throws {
        let folder = try TemporaryFolder()
        let model = try self.make(folder, 4_000)
        let before = try StateStore.inspect(folder.path)
        let trained = try Set((0..<15).map { try identifier("item-\($0)") })
        let report = try StateStore.compact(folder.path, until: Self.until) { _, item in
            prunes && trained.contains(where: { item.elementsEqual($0.bytes) })
        }
        let expected = Self.compacted(model, trained: prunes ? trained : [])
        let after = try StateStore.inspect(folder.path)
        #expect(after.events == expected.events && after.users == expected.usersWithEvents)
        #expect(after.storeID == before.storeID && after.marks == before.marks && after.forgotten == before.forgotten)
        #expect(after.tombstones == before.tombstones && after.damagedRecords == 0)
        #expect(report.eventsBefore == model.events && report.eventsAfter == expected.events)
        #expect(report.folded + report.pruned == model.events - expected.events)
        #expect((report.pruned > 0) == prunes && report.folded > 500)
        #expect(report.bytesAfter < report.bytesBefore && after.fileBytes == report.bytesAfter)
        print("compaction: \(report)")
        let later = try self.serve(folder, expected)
        // A second time there is nothing to do, but for what came at or before the time since.
        let again = try StateStore.compact(folder.path, until: 0)
        #expect(again.folded == 0 && again.pruned == 0 && again.eventsAfter == later.events)
    }

    /// It takes changes as any other, and removal finds what was folded. Returns what is there then.
    private func serve(_ folder: TemporaryFolder, _ expected: StateModel) throws -> StateModel {
        let store = try StateStore(folder.path)
        defer { store.close() }
        store.waitUntilChecked()
        let reader = try store.makeReader()
        for user in Set(expected.known).union(expected.users.keys) { try expected.expectEqual(reader, user) }
        var later = expected
        var random = SeededRandom(seed: 4)
        for change in try Self.changes(&random, 200) { #expect(try store.apply(change) == later.apply(change)) }
        for user in later.users.keys { try later.expectEqual(reader, user) }
        return later
    }

    /// Users with very many events have an index: it is made again for what stays.
    @Test func theIndexIsThatOfTheEventsThatStay() throws {
        let folder = try TemporaryFolder()
        var model = StateModel()
        let heavy = try identifier("heavy")
        let store = try StateStore(folder.path)
        let changes = try (0..<3_000).map { number in
            StateChange.event(
                user: heavy,
                item: try identifier("item-\(number % 1_500)"),
                weight: 1,
                time: Self.until - 3_000 + Int64(number)
            )
        }
        _ = store.apply(changes)
        for change in changes { _ = model.apply(change) }
        store.close()
        let report = try StateStore.compact(folder.path, until: Self.until)
        #expect(report.eventsAfter == 1_500 && report.folded == 1_500)
        let notices = Notices()
        var settings = StateSettings()
        settings.notice = notices.add
        let again = try StateStore(folder.path, settings: settings)
        again.waitUntilChecked()
        #expect(notices.all.isEmpty, "the index needs no repair: \(notices.all)")
        let remove = StateChange.remove(user: heavy, item: try identifier("item-7"), time: Self.until)
        #expect(try again.apply(remove) == .removed(wasThere: true))
        #expect(again.counts.walkedRecords == 0, "found by the index")
        again.close()
    }

    @Test func aStateInUseIsLeftAlone() throws {
        let folder = try TemporaryFolder()
        let store = try StateStore(folder.path)
        let error = try #require(throws: AnnexError.self) { _ = try StateStore.compact(folder.path, until: 1) }
        #expect(error.code == .busy && error.message.contains("in use by another process"))
        store.close()
        let missing = try #require(throws: AnnexError.self) {
            _ = try StateStore.compact(folder.file("nothing"), until: 1)
        }
        #expect(missing.code == .notFound)
    }

    /// Wherever it was killed: what it had made is no state, and the next start or compaction takes it away.
    @Test func halvesOfNewFilesCountForNothing() throws {
        let folder = try TemporaryFolder()
        let model = try self.make(folder, 1_000)
        let copy = try TemporaryFolder()
        try FileManager.default.copyItem(atPath: folder.file("state.lmdb"), toPath: copy.file("state.lmdb"))
        _ = try StateStore.compact(copy.path, until: Self.until)
        let new = try Data(contentsOf: URL(fileURLWithPath: copy.file("state.lmdb")))
        let temporary = folder.file(".tmp-state.lmdb")
        var points = 0
        for bytes in [0, 1, 4_096, 8_192, new.count / 2, new.count - 1, new.count] {
            try new.prefix(bytes).write(to: URL(fileURLWithPath: temporary))
            let store = try StateStore(folder.path)
            let reader = try store.makeReader()
            for user in model.users.keys { try model.expectEqual(reader, user) }
            store.close()
            #expect(!FileManager.default.fileExists(atPath: temporary), "\(bytes) bytes were left")
            points += 1
        }
        try new.prefix(9_000).write(to: URL(fileURLWithPath: temporary))
        let report = try StateStore.compact(folder.path, until: Self.until)
        #expect(report.eventsAfter == Self.compacted(model).events)
        #expect(!FileManager.default.fileExists(atPath: temporary))
        print("\(points) points of a kill before the new file has its name: the state is the old one")
        #expect(points == 7)
    }

    /// A damaged record stays what it is: nobody guesses what it was.
    @Test func damagedRecordsStay() throws {
        let folder = try TemporaryFolder()
        _ = try self.make(folder, 800)
        let url = URL(fileURLWithPath: folder.file("state.lmdb"))
        var bytes = try Data(contentsOf: url)
        let name = Array("item-1".utf8)
        var injected = 0
        var from = bytes.startIndex
        var before = try StateStore.inspect(folder.path)
        while injected < 5, let found = bytes.range(of: Data(name), in: from..<bytes.endIndex) {
            from = found.upperBound + 600
            // The weight of an event stands behind the name. Where the file has other things there, and in pages that it uses no
            // more, the byte is put back.
            bytes[found.upperBound + 3] ^= 0x10
            try bytes.write(to: url)
            if let now = try? StateStore.inspect(folder.path), now.damagedRecords == before.damagedRecords + 1 {
                before = now
                injected += 1
            } else {
                bytes[found.upperBound + 3] ^= 0x10
            }
        }
        try bytes.write(to: url)
        #expect(injected == 5 && before.damagedRecords == 5)
        let report = try StateStore.compact(folder.path, until: Self.until)
        let after = try StateStore.inspect(folder.path)
        #expect(after.damagedRecords == before.damagedRecords && report.eventsAfter == after.events)
        print("\(injected) records damaged, \(after.damagedRecords) of them seen before and after")
    }

    @Test(arguments: [1]) func statesOfOlderFormatsAreCompacted(_ format: Int) throws {
        let folder = try TemporaryFolder()
        try FileManager.default.copyItem(atPath: GoldenStateTests.golden(format), toPath: folder.file("state.lmdb"))
        let before = try StateStore.inspect(folder.path)
        _ = try StateStore.compact(folder.path, until: 1_700_000_000_100)
        let after = try StateStore.inspect(folder.path)
        #expect(after.format == 2 && after.events < before.events && after.users == before.users)
        #expect(after.marks == before.marks && after.storeID == before.storeID && after.forgotten == before.forgotten)
    }
}
