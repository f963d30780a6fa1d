import AnnexCore
import AnnexEngine
import AnnexLinearAlgebra
import AnnexStore
import AnnexTestSupport
import AnnexVersionSupport
import Dispatch
import Synchronization
import Testing

/// A version with histories, and a state beside it.
private final class Shop {
    static let cut: Int64 = 1_000
    let small: SmallVersion
    let folder: TemporaryFolder
    let state: StateStore
    let version: ServedVersion
    let context: QueryContext

    init(foldIn: FoldInModel.Method? = .als(regularization: 1, alpha: 4), histories: [String: [HistoryEntry]]? = nil)
        throws
    {
        self.small = try SmallVersion(
            items: 300,
            users: 6,
            dimension: 8,
            kind: "IVF4,SQ8",
            foldIn: foldIn,
            histories: histories,
            trainedUntil: Self.cut
        )
        self.folder = try TemporaryFolder()
        self.state = try StateStore(self.folder.file("shop"))
        self.version = try ServedVersion(loading: self.small.description, state: self.state)
        self.context = try QueryContext(self.version)
    }

    deinit { self.state.close() }

    func record(_ change: UserChange) throws {
        let result = Mutex<Result<Bool, AnnexError>?>(nil)
        let end = DispatchSemaphore(value: 0)
        self.version.record([change]) { _, outcome in
            result.withLock { $0 = outcome.map { $0.wereThere[0] } }
            end.signal()
        }
        end.wait()
        _ = try result.withLock { try #require($0).get() }
    }

    func event(_ user: String, _ item: String, _ weight: Double = 1, at time: Int64? = nil) throws {
        try self.record(.event(user: Self.id(user), item: Self.id(item), weight: weight, time: time))
    }

    func use(_ user: String, _ wish: UserRequest = UserRequest()) throws -> UserReadiness {
        try self.context.useUser(Array(user.utf8).span, wish)
    }

    /// The scores of all items for a user.
    func scores(_ user: String, _ wish: UserRequest = UserRequest()) throws -> [Float] {
        #expect(try self.use(user, wish) == .ready)
        return (0..<Int32(300)).map { self.context.score($0) }
    }

    func ordinal(_ item: String) throws -> Int32 {
        let ordinal = self.context.ordinal(of: Array(item.utf8).span)
        return try #require(ordinal)
    }

    static func id(_ text: String) throws -> Identifier { try #require(Identifier(text)) }
}

@Suite struct UserResolverTests {
    @Test func whatTheStateDoesNotMentionIsAsStored() throws {
        let shop = try Shop()
        let bare = try ServedVersion(loading: shop.small.description)
        let context = try QueryContext(bare)
        for user in 0..<6 {
            let before = try context.useUser(Array("u\(user)".utf8).span, UserRequest())
            #expect(before == .ready)
            let stored = (0..<Int32(300)).map { context.score($0) }
            #expect(try shop.scores("u\(user)") == stored)
        }
        #expect(try shop.use("stranger") == .unknown)
    }

    /// A stored vector without a history stays; events only mark.
    @Test func aVectorWithoutAHistoryIsKept() throws {
        let shop = try Shop()
        let before = try shop.scores("u1")
        try shop.event("u1", "i7")
        #expect(try shop.scores("u1") == before)
        #expect(shop.context.excludedCount == 1)
    }

    @Test func newUsersAreServedFromTheirFirstEvent() throws {
        let shop = try Shop()
        #expect(try shop.use("new") == .unknown)
        try shop.event("new", "i7", at: 5)
        let one = try shop.scores("new")
        #expect(shop.context.excludedCount == 1)
        try shop.event("new", "i8", 2, at: 3)
        #expect(try shop.scores("new") != one)
        #expect(shop.context.excludedCount == 2)
        // The same as a temporary history of somebody unknown.
        let session = [
            HistoryItem(ordinal: try shop.ordinal("i8"), weight: 2),
            HistoryItem(ordinal: try shop.ordinal("i7"), weight: 1),
        ]
        #expect(try shop.scores("new") == shop.scores("stranger", UserRequest(session: session)))
        try shop.record(.remove(user: Shop.id("new"), item: Shop.id("i8")))
        #expect(try shop.scores("new") == one)
        try shop.record(.remove(user: Shop.id("new"), item: Shop.id("i7")))
        #expect(try shop.use("new") == .unknown)
    }

    /// Events up to the cut are in the trained history already, later ones are added to it.
    @Test func theCutDecides() throws {
        let history = [HistoryEntry(ordinal: 3, weight: 2), HistoryEntry(ordinal: 9, weight: 1)]
        let shop = try Shop(histories: ["u1": history])
        let stored = try shop.scores("u1")
        #expect(shop.context.excludedCount == 2)
        try shop.event("u1", "i7", at: Shop.cut)
        #expect(try shop.scores("u1") == stored, "at the cut: seen, and no more")
        #expect(shop.context.excludedCount == 3)
        try shop.event("u1", "i7", at: Shop.cut + 1)
        let live = try shop.scores("u1")
        #expect(live != stored && shop.context.excludedCount == 3)
        let whole =
            history.map { HistoryItem(ordinal: $0.ordinal, weight: Double($0.weight)) }
            + [HistoryItem(ordinal: try shop.ordinal("i7"), weight: 1)]
        #expect(try shop.scores("stranger", UserRequest(session: whole)) == live)
    }

    @Test func tombstonesMaskTheTrainedHistory() throws {
        let shop = try Shop(histories: [
            "u1": [HistoryEntry(ordinal: 3, weight: 2), HistoryEntry(ordinal: 9, weight: 1)]
        ])
        var name = ""
        shop.context.withIdentifier(3) { name = String(decoding: Array(copying: $0), as: UTF8.self) }
        try shop.record(.remove(user: Shop.id("u1"), item: Shop.id(name)))
        let masked = try shop.scores("u1")
        #expect(shop.context.excludedCount == 1)
        let left = [HistoryItem(ordinal: 9, weight: 1)]
        #expect(try shop.scores("stranger", UserRequest(session: left)) == masked)
        // An event after the cut brings it back, with its own weight.
        try shop.event("u1", name, 5)
        let again = left + [HistoryItem(ordinal: 3, weight: 5)]
        #expect(try shop.scores("u1") == shop.scores("stranger", UserRequest(session: again)))
    }

    @Test func theForgottenAreUnknownUntilTheyComeAgain() throws {
        let shop = try Shop(histories: ["u1": [HistoryEntry(ordinal: 3, weight: 2)]])
        try shop.record(.forget(user: Shop.id("u1")))
        #expect(try shop.use("u1") == .unknown)
        #expect(shop.context.excludedCount == 0)
        try shop.event("u1", "i7", at: 1)
        let alone = [HistoryItem(ordinal: try shop.ordinal("i7"), weight: 1)]
        #expect(try shop.scores("u1") == shop.scores("stranger", UserRequest(session: alone)))
        #expect(try !shop.context.versionKnows(Array("u1".utf8).span))
    }

    @Test func costlyUsersAreLeftToOthersOnce() throws {
        let shop = try Shop()
        for item in 0..<40 { try shop.event("new", "i\(item)") }
        #expect(try shop.use("new", UserRequest(budgetNanos: 10)) == .costly)
        let other = try shop.version.borrowContext()
        #expect(try other.useUser(Array("new".utf8).span, UserRequest()) == .ready)
        #expect(try shop.use("new", UserRequest(budgetNanos: 10)) == .ready, "what one thread worked out serves all")
        #expect(shop.version.solved.count == 1)
    }

    /// A long history goes on from the equation that it came to: whatever happens to it, the vector is that of the whole.
    @Test func longHistoriesGoOn() throws {
        let trained = (0..<40).map { HistoryEntry(ordinal: $0 * 3, weight: Float($0 % 5) + 0.5) }
        let shop = try Shop(histories: ["u1": trained])
        var random = SeededRandom(seed: 20_241_126)
        var weights = Dictionary(uniqueKeysWithValues: trained.map { ($0.ordinal, Double($0.weight)) })
        var times: [Int32: [Int64: Double]] = [:]
        var names: [Int32: String] = [:]
        for ordinal in Int32(0)..<300 {
            shop.context.withIdentifier(ordinal) {
                names[ordinal] = String(decoding: Array(copying: $0), as: UTF8.self)
            }
        }
        var compared = 0
        for step in 0..<700 {
            let ordinal = Int32(random.below(300))
            let name = try #require(names[ordinal])
            let weight = Double(random.below(9)) / 4 + 0.25
            switch random.below(step < 300 ? 1_000 : 12) {
            case 0 where step >= 300:
                // An earlier time, or one that is taken: not the latest event.
                let time = Shop.cut + 1 + Int64(random.below(step))
                try shop.event("u1", name, weight, at: time)
                times[ordinal, default: [:]][time] = weight
            case 1 where step >= 300:
                try shop.record(.remove(user: Shop.id("u1"), item: Shop.id(name)))
                times[ordinal] = nil
                weights[ordinal] = nil
            case 2 where step >= 300:
                try shop.event("u1", name, weight, at: Shop.cut - Int64(step))
            default:
                let time = Shop.cut + 10 + Int64(step)
                try shop.event("u1", name, weight, at: time)
                times[ordinal, default: [:]][time] = weight
            }
            guard step % 7 == 0 || step > 300 else { continue }
            var whole = weights
            for (ordinal, events) in times {
                whole[ordinal] = events.sorted { $0.key < $1.key }.reduce(whole[ordinal] ?? 0) { $0 + $1.value }
            }
            let session = whole.keys.sorted().map { HistoryItem(ordinal: $0, weight: whole[$0] ?? 0) }
            let live = try shop.scores("u1")
            let expected = try shop.scores("stranger", UserRequest(session: session))
            let size = expected.map(abs).max() ?? 0
            #expect(zip(live, expected).allSatisfy { abs($0 - $1) <= 1e-6 * size }, "step \(step)")
            compared += 1
        }
        #expect(compared > 400)
    }

    /// A weight that leaves no room for the rest of the history, and is taken back, leaves nothing behind.
    @Test func hugeWeightsThatAreTakenBack() throws {
        let trained = (0..<200).map { HistoryEntry(ordinal: $0, weight: 1) }
        let shop = try Shop(histories: ["u1": trained])
        var names: [String] = []
        for ordinal in [Int32(250), 260] {
            shop.context.withIdentifier(ordinal) { names.append(String(decoding: Array(copying: $0), as: UTF8.self)) }
        }
        try shop.event("u1", names[0], 1)
        try shop.event("u1", names[1], 1)
        let before = try shop.scores("u1")
        for weight in [1e4, 1e7, 1e12] {
            try shop.event("u1", names[1], weight)
            // The largest have no solution, which is said.
            _ = try? shop.use("u1")
            try shop.event("u1", names[1], -weight)
            let after = try shop.scores("u1")
            #expect(zip(before, after).allSatisfy { abs($0 - $1) < 1e-5 }, "\(weight)")
            try shop.record(.remove(user: Shop.id("u1"), item: Shop.id(names[1])))
            try shop.event("u1", names[1], 1)
        }
    }

    /// Such events come from before a version with a larger alpha, or from an older program.
    @Test func weightsThatAreLeftOutAreCounted() throws {
        let shop = try Shop(foldIn: .als(regularization: 1, alpha: 1e4), histories: [:])
        try shop.event("heavy", "i1", 1)
        let before = try shop.scores("heavy")
        #expect(shop.version.weightsLeftOut == 0)
        for item in ["i2", "i3"] { try shop.event("heavy", item, 101) }
        #expect(try shop.scores("heavy") == before, "they count as seen only")
        #expect(shop.version.weightsLeftOut == 2)
        _ = try shop.scores("heavy")
        #expect(shop.version.weightsLeftOut == 2, "nothing is resolved again while nothing changed")
        try shop.event("heavy", "i4", 100)
        #expect(try shop.scores("heavy") != before)
        #expect(shop.version.weightsLeftOut == 4)
    }

    @Test func stampedEventsAddUp() throws {
        let shop = try Shop()
        for _ in 0..<5 { try shop.event("new", "i7") }
        let five = [HistoryItem(ordinal: try shop.ordinal("i7"), weight: 5)]
        let expected = try shop.scores("stranger", UserRequest(session: five))
        #expect(try shop.scores("new") == expected)
    }

    @Test func explanationsAddUp() throws {
        let shop = try Shop(histories: ["u1": (0..<30).map { HistoryEntry(ordinal: $0 * 7, weight: 1) }])
        try shop.event("u1", "i5", 3)
        for item in [Int32(0), 44, 299] {
            let found = try shop.context.explain(Array("u1".utf8).span, item: item, count: 7)
            #expect(found.parts.count == 7 && found.events == 31)
            let sum = found.parts.reduce(found.rest) { $0 + $1.contribution }
            #expect(abs(sum - Double(found.score)) < 1e-5)
        }
    }

    /// A count of popular items: each trained pair and each event once.
    @Test func popularItemsAreThoseWithMostEvents() throws {
        let shop = try Shop(histories: [
            "u1": [HistoryEntry(ordinal: 3, weight: 2)], "u2": [HistoryEntry(ordinal: 3, weight: 1)],
        ])
        try shop.event("a", "i200")
        try shop.event("b", "i200")
        try shop.event("c", "i200")
        try shop.event("u1", "i200", at: Shop.cut)
        #expect(try shop.use("stranger") == .unknown && !shop.context.usePopular(k: 3), "not asked for")
        try shop.version.countPopular(PopularItems.Decay(halfLifeDays: nil))
        #expect(try shop.use("stranger") == .unknown && shop.context.usePopular(k: 3))
        #expect(shop.context.hits.map(\.ordinal) == [try shop.ordinal("i200"), 3, 0])
        #expect(shop.context.hits.map(\.score) == [3, 2, 0])
    }
}
