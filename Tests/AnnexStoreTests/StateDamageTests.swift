import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Testing

/// Files that are not what was written: refused, or read without what is damaged.
@Suite struct StateDamageTests {
    private static let seed: UInt64 = 20_260_212

    /// A store with single values, pages within values, trees of duplicates and free pages; what it held at the end and
    /// before its last commit.
    private func write(_ folder: String) throws -> [StateModel] {
        let store = try StateStore(folder)
        var random = SeededRandom(seed: Self.seed)
        var model = StateModel()
        var before = model
        for _ in 0..<12 {
            before = model
            let changes = try (0..<150).map { number -> StateChange in
                let user = try identifier("user-\(min(random.below(60), random.below(60)))")
                let item = try identifier("item-\(random.below(40))" + String(repeating: "x", count: random.below(50)))
                let time = Int64(random.below(1_000))
                return switch random.below(60) {
                case 0: .forget(user: user, hash: StateModel.hash(user), time: time)
                case 1...4: .remove(user: user, item: item, time: time)
                default: .event(user: user, item: item, weight: Double(number), time: time)
                }
            }
            let expected = changes.map { model.apply($0) }
            #expect(try store.apply(changes).map { try $0.get() } == expected)
        }
        store.close()
        return [before, model]
    }

    /// Whether all that can be read is in `model`, and whether that is all of it.
    private func compare(_ reader: StateReader, _ model: StateModel) throws -> (isWithin: Bool, isAll: Bool) {
        var (isWithin, isAll) = (true, true)
        for user in model.known {
            let expected = model.users[user] ?? StateModel.User()
            let found = try reader.user(user)
            for event in found.events {
                let item = try #require(Identifier(event.item))
                let weight = expected.events[StateModel.Key(time: event.time, item: item)]
                if weight?.bitPattern != event.weight { isWithin = false }
            }
            for (item, time) in found.removed where expected.removed[item] != time { isWithin = false }
            isAll = isAll && found.events.count == expected.events.count
            isAll = isAll && found.removed.count == expected.removed.count
            isAll = isAll && found.forgottenAt == model.forgotten[StateModel.hash(user)]
        }
        return (isWithin, isAll)
    }

    @Test func damagedFiles() throws {
        let folder = try TemporaryFolder()
        let models = try self.write(folder.path)
        let path = folder.file("state.lmdb")
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        let sound = try StateStore.inspect(folder.path)
        #expect(sound.events == models[1].events && sound.damagedRecords == 0)
        var random = SeededRandom(seed: Self.seed)
        let pages = whole.count / 4_096
        let tries = 300
        var (refused, skipping, harmless) = (0, 0, 0)
        for turn in 0..<tries {
            var data = whole
            let page = random.below(pages) * 4_096
            switch turn % 6 {
            case 0: for _ in 0..<20 { data[random.below(data.count)] ^= UInt8(1 << random.below(8)) }
            case 1: data[page + random.below(64)] = UInt8.random(in: 0...255, using: &random)
            case 2: data = data.prefix(random.below(data.count))
            case 3: data.replaceSubrange(page..<page + 4_096, with: whole[(whole.count - 4_096)...])
            case 4: data.replaceSubrange(page..<page + 4_096, with: [UInt8](repeating: 0, count: 4_096))
            default: data[random.below(8_192)] ^= UInt8(1 << random.below(8))
            }
            try data.write(to: URL(fileURLWithPath: path))
            let inspection: StateInspection
            do { inspection = try StateStore.inspect(folder.path) } catch {
                #expect(error.code == .damaged && error.location == path && error.hint != nil, "\(error)")
                refused += 1
                continue
            }
            // What passes may be opened, and serves only what was written.
            let store = try StateStore(folder.path)
            let reader = try store.makeReader()
            var results = [try self.compare(reader, models[1])]
            // Damage of the last commit's meta page may look as if that had not been.
            if !results[0].isWithin { results.append(try self.compare(reader, models[0])) }
            #expect(results.contains { $0.isWithin }, "turn \(turn)")
            if inspection.damagedRecords > 0 {
                skipping += 1
                // Met on the way, or, where it was an id that changed, missed.
                #expect(store.counts.damagedRecords > 0 || !results.contains { $0.isAll }, "turn \(turn)")
            } else {
                harmless += 1
                #expect(results.contains { $0.isWithin && $0.isAll }, "turn \(turn)")
            }
            store.close()
        }
        #expect(refused > tries / 3 && skipping > 3 && harmless > 10)
        print(
            "damagedFiles: seed \(Self.seed), \(tries) damaged files, \(refused) refused, \(skipping) read without some "
                + "records, \(harmless) whole"
        )
    }

    /// Cut behind each page: nothing that is missing may be mapped.
    @Test func truncatedFiles() throws {
        let folder = try TemporaryFolder()
        let models = try self.write(folder.path)
        let path = folder.file("state.lmdb")
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        var refused = 0
        let sizes = Array(stride(from: 0, to: whole.count, by: 4_096)) + [1, 4_095, 8_191, whole.count - 1]
        for bytes in sizes {
            try whole.prefix(bytes).write(to: URL(fileURLWithPath: path))
            do {
                let store = try StateStore(folder.path)
                // Only free pages were cut off.
                #expect(try self.compare(store.makeReader(), models[1]).isAll)
                store.close()
            } catch let error as AnnexError {
                #expect(error.code == .damaged, "\(error)")
                refused += 1
            }
        }
        #expect(refused > sizes.count / 2)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)).count == whole.count - 1)
    }

    /// Keys or values out of order would be looked for in vain, so such a file is not served, whoever looks at it.
    @Test(arguments: ["bravo-user", "second-item"]) func whatIsOutOfOrderIsRefused(_ name: String) throws {
        let folder = try TemporaryFolder()
        let store = try StateStore(folder.path)
        let items = try ["first-item", "second-item", "third-item"].map(identifier)
        for user in try ["alpha-user", "bravo-user", "carol-user"].map(identifier) {
            for (time, item) in items.enumerated() {
                _ = try store.apply(.event(user: user, item: item, weight: 1, time: Int64(time)))
            }
        }
        store.close()
        let path = URL(fileURLWithPath: folder.file("state.lmdb"))
        var data = try Data(contentsOf: path)
        var from = data.startIndex
        var damages = 0
        while let range = data.range(of: Data(name.utf8), in: from..<data.endIndex) {
            // The first letter of a user; the first byte of the time before an item and its length.
            data[name == "bravo-user" ? range.lowerBound : range.lowerBound - 9] = 0xff
            from = range.upperBound
            damages += 1
        }
        try data.write(to: path)
        let found = #expect(throws: AnnexError.self) { try StateStore.inspect(folder.path) }
        #expect(found?.code == .damaged && found?.message.contains("page") == true, "\(String(describing: found))")
        #expect(throws: AnnexError.self) { try StateStore(folder.path) }
        #expect(throws: AnnexError.self) { try StateStore.checkPages(folder.path) }
        #expect(damages > 0)
        print("whatIsOutOfOrderIsRefused: \(damages) bytes")
    }

    /// An empty file is no new store: there may have been another.
    @Test func emptyFilesAreRefused() throws {
        let folder = try TemporaryFolder()
        try Data().write(to: URL(fileURLWithPath: folder.file("state.lmdb")))
        #expect(throws: AnnexError.self) { try StateStore(folder.path) }
        let other = try TemporaryFolder()
        let items = try ItemStoreWriter(path: other.file("state.lmdb"))
        try items.append(identifier("i"), attributes: nil)
        try items.finish()
        let error = #expect(throws: AnnexError.self) { try StateStore(other.path) }
        #expect(error?.code == .damaged)
    }

    /// What was left when the making of a store was cut short.
    @Test func halfMadeStoresAreMadeAgain() throws {
        let folder = try TemporaryFolder()
        try Data("half".utf8).write(to: URL(fileURLWithPath: folder.file(".tmp-state.lmdb")))
        try StateStore(folder.path).close()
        #expect(!FileManager.default.fileExists(atPath: folder.file(".tmp-state.lmdb")))
        #expect(try StateStore.inspect(folder.path).events == 0)
    }

    /// Changes one byte behind each place of `mark` in the closed store's file.
    private func flip(_ folder: TemporaryFolder, behind mark: String, by offset: Int) throws {
        let url = URL(fileURLWithPath: folder.file("state.lmdb"))
        var data = try Data(contentsOf: url)
        var from = data.startIndex
        var found = 0
        while let range = data.range(of: Data(mark.utf8), in: from..<data.endIndex) {
            from = range.upperBound
            if from + offset < data.endIndex { data[from + offset] ^= 1 }
            found += 1
        }
        #expect(found > 0)
        try data.write(to: url)
    }

    @Test func recordsWithAWrongChecksumAreSkippedAndCounted() throws {
        let folder = try TemporaryFolder()
        var store = try StateStore(folder.path)
        let user = try identifier("a-user-with-a-long-name")
        let (first, second) = try (identifier("first-item"), identifier("second-item"))
        for (item, time) in [(first, 1), (second, 2)] as [(Identifier, Int64)] {
            _ = try store.apply(.event(user: user, item: item, weight: 1, time: time))
        }
        _ = try store.apply(.remove(user: user, item: identifier("gone-item"), time: 3))
        store.close()
        try self.flip(folder, behind: "second-item", by: 2)
        try self.flip(folder, behind: "gone-item", by: 7)
        #expect(try StateStore.inspect(folder.path).damagedRecords == 2)
        store = try StateStore(folder.path)
        let reader = try store.makeReader()
        let found = try reader.user(user)
        #expect(found.events == [StateEvent(first, 1, 1)] && found.removed.isEmpty)
        // Both directions, and the tombstone.
        #expect(store.counts.damagedRecords == 3)
        // Writing the same again mends it.
        #expect(try store.apply(.event(user: user, item: second, weight: 1, time: 2)) == .replaced)
        #expect(try reader.user(user).events == [StateEvent(first, 1, 1), StateEvent(second, 1, 2)])
        #expect(try reader.user(user).mark?.newest == 2)
    }

    /// A mark that cannot be trusted must not look like the one a cache knows, nor like none.
    @Test func aDamagedMarkIsReplacedByOneThatIsNewer() throws {
        let folder = try TemporaryFolder()
        var store = try StateStore(folder.path)
        let user = try identifier("a-user-with-a-long-name")
        let other = try identifier("b")
        _ = try store.apply(.event(user: user, item: other, weight: 1, time: 5))
        let before = try #require(try store.makeReader().user(user).mark)
        for time in 0..<Int64(3) { _ = try store.apply(.event(user: other, item: other, weight: 1, time: time)) }
        store.close()
        // A byte of the counter in `users`, and of the time in `events`.
        try self.flip(folder, behind: user.description, by: 3)
        store = try StateStore(folder.path)
        let reader = try store.makeReader()
        let mark = try #require(try reader.user(user).mark)
        #expect(mark.counter > before.counter && mark.eventCount == 1)
        #expect(store.counts.damagedRecords > 0)
        _ = try store.apply(.event(user: user, item: other, weight: 1, time: 6))
        let after = try #require(try reader.user(user).mark)
        #expect(after.counter > mark.counter && after.eventCount == 2 && after.newest == 6)
    }
}
