import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Testing

/// States that earlier programs wrote, `Tests/Golden/state1` and so on, must still be served, and lose nothing.
///
/// `ANNEX_GOLDEN_STATE=FOLDER` makes `writesTheGoldenState` write FOLDER/state.lmdb with the program of now.
@Suite struct GoldenStateTests {
    private static let seed: UInt64 = 20_261_129

    static func golden(_ format: Int) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
            + "/Golden/state\(format)/state.lmdb"
    }

    /// Every kind of record, users with one event and one with 400, a user who was forgotten.
    static func changes() throws -> [StateChange] {
        var random = SeededRandom(seed: Self.seed)
        let heavy = try identifier("heavy")
        let users = try ["u", "caf\u{e9}", String(repeating: "l", count: 255), "gone"].map(identifier)
        let items = try (0..<40).map { try identifier("item-\($0)") }
        var changes: [StateChange] = []
        for number in 0..<400 {
            let time = 1_700_000_000_000 + Int64(number / 2)
            let item = items[random.below(items.count)]
            changes.append(.event(user: heavy, item: item, weight: Double(number) / 4, time: time))
        }
        for number in 0..<60 {
            let user = users[random.below(users.count)]
            let item = items[random.below(items.count)]
            let time = 1_600_000_000_000 + Int64(random.below(1_000))
            switch number % 10 {
            case 0: changes.append(.remove(user: user, item: item, time: time))
            case 1: changes.append(.stampedEvent(user: user, item: item, weight: 0.5, time: time))
            default: changes.append(.event(user: user, item: item, weight: Double(number), time: time))
            }
        }
        changes.append(.remove(user: heavy, item: items[3], time: 1_650_000_000_000))
        changes.append(.forget(user: users[3], hash: StateModel.hash(users[3]), time: 1_660_000_000_000))
        return changes
    }

    static func model() throws -> StateModel {
        var model = StateModel()
        for change in try Self.changes() { _ = model.apply(change) }
        return model
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment["ANNEX_GOLDEN_STATE"] != nil))
    func writesTheGoldenState() throws {
        let target = try #require(ProcessInfo.processInfo.environment["ANNEX_GOLDEN_STATE"])
        let folder = try TemporaryFolder()
        let store = try StateStore(folder.path)
        for change in try Self.changes() { _ = try store.apply(change) }
        let moved = LoggedChange(
            block: 5,
            after: .start,
            position: LogPosition(milliseconds: 77, sequence: 3),
            change: nil
        )
        store.submit([moved]) { _, result in #expect((try? result.get()) != nil) }
        _ = try store.apply(.event(user: identifier("last"), item: identifier("item-0"), weight: 1, time: 1))
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        try store.copy(to: target + "/state.lmdb")
        store.close()
    }

    /// Read as it is, brought to today's format when it is opened, and then no different from a state of today.
    @Test(arguments: [1]) func statesOfOlderFormatsAreServed(_ format: Int) throws {
        let folder = try TemporaryFolder()
        try FileManager.default.copyItem(atPath: Self.golden(format), toPath: folder.file("state.lmdb"))
        var model = try Self.model()
        _ = model.apply(.event(user: try identifier("last"), item: try identifier("item-0"), weight: 1, time: 1))
        let found = try StateStore.inspect(folder.path)
        #expect(found.format == format && found.events == model.events && found.users == model.usersWithEvents)
        #expect(found.damagedRecords == 0 && found.forgotten == 1)
        let position = LogPosition(milliseconds: 77, sequence: 3)
        #expect(found.marks[5] == LogMark(position: position, count: 1))
        // A copy is of the same format, and can be restored.
        let copy = try TemporaryFolder()
        try StateBackup.copy(folder.path, to: copy.file("state.lmdb"))
        #expect(try StateStore.inspect(copy.path).format == format)
        for turn in 0..<2 {
            let notices = Notices()
            var settings = StateSettings()
            settings.walkLimit = 100
            settings.notice = notices.add
            let store = try StateStore(folder.path, settings: settings)
            #expect(store.storeID == found.storeID && store.marksAtOpening == found.marks)
            store.waitUntilChecked()
            #expect(store.counts.isChecked && notices.all.count == (turn == 0 ? 1 : 0), "\(notices.all)")
            let reader = try store.makeReader()
            for user in Set(model.known).union(model.users.keys) { try model.expectEqual(reader, user) }
            let heavy = try identifier("heavy")
            for change in [
                StateChange.remove(user: heavy, item: try identifier("item-\(turn)"), time: 1_800_000_000_000),
                .event(user: heavy, item: try identifier("new"), weight: 1, time: Int64(turn)),
            ] { #expect(try store.apply(change) == model.apply(change)) }
            #expect(store.counts.walkedRecords == 0)
            try model.expectEqual(reader, heavy)
            store.close()
        }
        #expect(try StateStore.inspect(folder.path).format == 2)
    }
}
