import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Synchronization
import Testing

@Suite struct StateStoreTests {
    private static let seed: UInt64 = 20_260_211

    /// Thousands of changes against the model, in groups of all sizes, with the store reopened in between.
    @Test func randomChangesLikeTheModel() throws {
        let folder = try TemporaryFolder()
        var random = SeededRandom(seed: Self.seed)
        let long = String(repeating: "u", count: 255)
        let users = try (["u", long, "caf\u{e9}", "cafe\u{301}"] + (0..<20).map { "user-\($0)" }).map(identifier)
        let items = try
            (["i", String(repeating: "i", count: 255), "caf\u{e9}", "cafe\u{301}"] + (0..<60).map { "item-\($0)" })
            .map(identifier)
        let times: [Int64] = [Int64.min, -1, 0, 1, Int64.max] + (0..<40).map { 1_700_000_000_000 + $0 }
        let weights = [0.0, -0.0, 1, -1, 0.5, .greatestFiniteMagnitude, .leastNonzeroMagnitude]
        var model = StateModel()
        var counters: [Identifier: UInt64] = [:]
        var used: Set<UInt64> = []
        var applied = 0
        for _ in 0..<12 {
            var settings = StateSettings()
            // Most users outgrow this; some stores are used before their index is trusted.
            settings.walkLimit = 12
            let store = try StateStore(folder.file("state"), settings: settings)
            if random.below(2) == 0 { store.waitUntilChecked() }
            let reader = try store.makeReader()
            for _ in 0..<30 {
                var changes: [StateChange] = []
                for _ in 0...random.below(random.below(4) == 0 ? 200 : 12) {
                    // The first users get most, so that some outgrow a page.
                    let user = users[min(random.below(users.count), random.below(users.count))]
                    let item = items[random.below(items.count)]
                    let time = times[random.below(times.count)]
                    switch random.below(400) {
                    case 0: changes.append(.forget(user: user, hash: StateModel.hash(user), time: time))
                    case 1..<60: changes.append(.remove(user: user, item: item, time: time))
                    default:
                        let weight = weights[random.below(weights.count)]
                        let isStamped = time < Int64.max - 10_000 && random.below(4) == 0
                        changes.append(
                            isStamped
                                ? .stampedEvent(user: user, item: item, weight: weight, time: time)
                                : .event(user: user, item: item, weight: weight, time: time)
                        )
                    }
                }
                let results = try store.apply(changes).map { try $0.get() }
                let expected = changes.map { model.apply($0) }
                #expect(results == expected)
                applied += changes.count
                let user = users[random.below(users.count)]
                try model.expectEqual(reader, user)
                if let mark = try reader.user(user).mark, counters[user] != mark.counter {
                    counters[user] = mark.counter
                    #expect(used.insert(mark.counter).inserted, "counter \(mark.counter) came twice")
                }
            }
            for user in users { try model.expectEqual(reader, user) }
            #expect(store.counts.events == model.events)
            #expect(store.counts.users == model.usersWithEvents)
            #expect(store.counts.damagedRecords == 0)
            store.close()
        }
        let inspection = try StateStore.inspect(folder.file("state"))
        #expect(inspection.events == model.events && inspection.users == model.usersWithEvents)
        #expect(inspection.damagedRecords == 0 && inspection.forgotten == model.forgotten.count)
        print("randomChangesLikeTheModel: seed \(Self.seed), \(applied) changes, \(model.events) events at the end")
    }
}
