import AnnexCore
import AnnexEngine
import AnnexLinearAlgebra
import AnnexStore
import AnnexTestSupport
import AnnexVersionSupport
import AnnexWire
import Synchronization
import Testing

/// A query is a value: what one client asks leaves nothing behind for the next, and what costs much leaves the loop before it
/// is begun.
@Suite struct QueryTests {
    private static let seed: UInt64 = 20_261_129

    private func engine(_ small: SmallVersion) throws -> Engine {
        try Engine(indexes: [small.description.index]) { _, _ in try ServedVersion(loading: small.description) }
    }

    /// One client's command, drawn at random; every kind that leaves out, folds in or changes the query.
    private func command(_ random: inout SeededRandom, users: Int, items: Int) -> [String] {
        func item() -> String { random.below(12) == 0 ? "absent" : "i\(random.below(items))" }
        func user() -> String { random.below(10) == 0 ? "nobody" : "u\(random.below(users))" }
        func many(_ count: Int) -> [String] { ["\(count)"] + (0..<count).map { _ in item() } }
        func options() -> [String] {
            var words: [String] = []
            if random.below(2) == 0 { words += ["EXCLUDE"] + many(1 + random.below(40)) }
            if random.below(3) == 0 { words += ["HISTORY"] + many(1 + random.below(5)) }
            if random.below(3) == 0 { words.append("WITHSEEN") }
            if random.below(3) == 0 { words.append("WITHSCORES") }
            return words
        }
        switch random.below(10) {
        case 0...2: return ["TOPK", user(), "\(1 + random.below(30))"] + options()
        case 3:
            let count = 1 + random.below(4)
            return ["MTOPK", "\(count)"] + (0..<count).map { _ in user() } + ["\(1 + random.below(10))"] + options()
        case 4: return ["SCORE", user()] + many(1 + random.below(5))
        case 5: return ["VSIM", "shop", "ELE", item(), "COUNT", "\(1 + random.below(20))", "WITHSCORES"]
        case 6: return ["VSIM", "shop", "VALUES", "8"] + (0..<8).map { _ in "\(random.below(100) - 50)" }
        case 7: return ["WHYNOT", user(), item(), "\(1 + random.below(10))"] + options()
        case 8: return ["EXPLAIN", user(), item()]
        default: return ["VLINKS", "shop", item(), "WITHSCORES"]
        }
    }

    /// Whatever came before on the same loop: the answer is that of a context which never answered anything else.
    @Test(arguments: ["HNSW8", "IVF4,SQ8", "Flat"]) func nothingIsLeftBehind(_ kind: String) throws {
        var random = SeededRandom(seed: Self.seed)
        let (users, items) = (12, 150)
        let histories = Dictionary(
            uniqueKeysWithValues: (0..<users).map { user in
                let seen = Set((0..<12).map { _ in Int32(random.below(items)) }).sorted()
                return ("u\(user)", seen.map { HistoryEntry(ordinal: $0, weight: 1) })
            }
        )
        let small = try SmallVersion(
            items: items,
            users: users,
            dimension: 8,
            kind: kind,
            foldIn: .als(regularization: 0.1, alpha: 2),
            histories: histories
        )
        let engine = try self.engine(small)
        let busy = try Bench(engine)
        var asked = 0
        for _ in 0..<400 {
            let words = self.command(&random, users: users, items: items)
            let answer = try busy.ask(words)
            let alone = try Bench(engine).ask(words)
            #expect(answer == alone, "after \(asked) others: \(words.joined(separator: " "))")
            asked += 1
        }
        print("\(asked) commands of every kind on one context, each as on a fresh one (\(kind), seed \(Self.seed))")
    }

    @Test func whatCostsMuchLeavesTheLoop() throws {
        let small = try SmallVersion(items: 40_000, users: 20, dimension: 112, kind: "IVF32,SQ8")
        let bench = try Bench(self.engine(small))
        let zeros = ["VSIM", "shop", "VALUES", "112"] + Array(repeating: "0", count: 112)
        let names = (0..<20_000).map { "x\($0)" }
        let long: [[String]] = [
            zeros, ["MTOPK", "20000"] + names + ["1"], ["EXISTS"] + names, ["VRANDMEMBER", "shop", "10000"],
            ["VRANDMEMBER", "shop", "-10000"], ["TOPK", "u1", "5", "EXCLUDE", "20000"] + names,
            ["SCORE", "u1", "20000"] + names, ["TOPK", "u1", "10000"],
        ]
        for words in long {
            _ = try bench.ask(words)
            #expect(bench.ranElsewhere, "\(words.prefix(4)) was carried out on the loop")
        }
        let short: [[String]] = [
            ["TOPK", "u1", "10"], ["TOPK", "u1", "10", "EXCLUDE", "3", "i1", "i2", "absent"],
            ["MTOPK", "2", "u1", "x", "5"],
            ["VSIM", "shop", "ELE", "i7"], ["EXISTS", "shop", "x"], ["VRANDMEMBER", "shop", "10"],
            ["SCORE", "u1", "2", "i1", "i2"],
        ]
        for words in short {
            _ = try bench.ask(words)
            #expect(!bench.ranElsewhere, "\(words.prefix(4)) left the loop")
        }
    }

    /// A user's items stand where the vector points, `count` of them seen: the walk falls back to a scan, which is no work for a
    /// loop.
    private func crowded(_ counts: [Int]) throws -> SmallVersion {
        let (items, dimension) = (20_000, 660)
        let order = try (0..<items).map { try #require(Identifier("i\($0)")) }.sorted()
        let ordinals = Dictionary(uniqueKeysWithValues: order.enumerated().map { ($1.description, Int32($0)) })
        var histories: [String: [HistoryEntry]] = [:]
        for (user, count) in counts.enumerated() where count > 0 {
            let seen = (0..<count).compactMap { ordinals["i\($0)"] }.sorted()
            histories["u\(user)"] = seen.map { HistoryEntry(ordinal: $0, weight: 1) }
        }
        var random = SeededRandom(seed: Self.seed)
        let small = try SmallVersion(
            items: items,
            users: counts.count,
            dimension: dimension,
            kind: "HNSW8",
            histories: histories
        ) { id in
            let number = Int(id.dropFirst()) ?? 0
            let isNear = id.hasPrefix("u") || number < 6_000
            return (0..<dimension).map { (isNear && $0 < 66 ? 1.5 : 0) + (id.hasPrefix("u") ? 0 : random.normal() / 2) }
        }
        return small
    }

    @Test func whatFallsBackToAScanLeavesTheLoop() throws {
        let counts = [0, 100, 5_000, 5_900]
        let small = try self.crowded(counts)
        let bench = try Bench(self.engine(small))
        var handedOn = 0
        for (user, count) in counts.enumerated() {
            let one = try bench.ask("TOPK", "u\(user)", "10")
            #expect(bench.ranElsewhere == (count >= 5_000), "TOPK of a user who has seen \(count)")
            handedOn += bench.ranElsewhere ? 1 : 0
            #expect(one.elements?.count == 10)
            if count >= 5_000 { #expect(try bench.ask("TOPK", "u\(user)", "10", "TRUTH") == one) }
            // The answers of those before go along.
            let batch = try bench.ask("MTOPK", "3", "u0", "nobody", "u\(user)", "10")
            #expect(bench.ranElsewhere == (count >= 5_000), "MTOPK with a user who has seen \(count)")
            #expect(try batch.elements == [bench.ask("TOPK", "u0", "10"), .null, one])
        }
        #expect(handedOn == 2)
    }

    /// Each command looks at the signal before each user, so that the work for all others is left undone.
    @Test func longCommandsStop() throws {
        let small = try SmallVersion(
            items: 2_000,
            users: 20,
            dimension: 8,
            foldIn: .als(regularization: 0.1, alpha: 2),
            histories: ["u1": [HistoryEntry(ordinal: 3, weight: 1)]]
        )
        let engine = try self.engine(small)
        let users = (0..<20).map { "u\($0)" }
        let many = Array(repeating: users, count: 100).flatMap { $0 }
        let long: [[String]] = [
            ["MTOPK", "2000"] + many + ["50"],
            ["TOPK", "u1", "10000", "EXCLUDE", "2000"] + (0..<2_000).map { "i\($0)" },
            ["WHYNOT", "u1", "i5", "10"], ["EXPLAIN", "u1", "i5"],
        ]
        var stopped = 0
        for words in long {
            let bench = try Bench(engine)
            bench.stop.raise()
            _ = bench.bytes(words)
            #expect(bench.ranElsewhere && bench.stop.wasHeeded, "\(words.prefix(3)) went on")
            stopped += 1
        }
        let looks = Counter()
        let bench = try Bench(engine)
        bench.stop = StopSignal(deadline: 0) { looks.next() > 300 ? 1 : 0 }
        _ = bench.bytes(["MTOPK", "2000"] + many + ["50"])
        #expect(bench.stop.wasHeeded && (301...302).contains(looks.count), "\(looks.count) looks for 2,000 users")
        print(
            "\(stopped) kinds of long commands stopped before they began; one of 2,000 users after \(looks.count) looks"
        )
    }

    /// A megabyte where an id belongs is no id: said at once, not looked for.
    @Test func whatIsTooLongIsNoId() throws {
        let small = try SmallVersion(items: 100, users: 2)
        let bench = try Bench(self.engine(small))
        for length in [256, 1 << 20] {
            let long = String(repeating: "u", count: length)
            for words in [
                ["TOPK", long, "5"], ["SCORE", long, "1", "i1"], ["EXPLAIN", long, "i1"], ["WHYNOT", long, "i1", "5"],
                ["VSIM", "shop", "ELE", long],
            ] {
                guard case .error = try bench.ask(words) else {
                    Issue.record("\(words[0]) took an id of \(length) bytes")
                    continue
                }
            }
            #expect(try bench.ask("SEEN", long).elements?.isEmpty == true)
            #expect(try bench.ask("VISMEMBER", "shop", long) == .boolean(false))
        }
        let longest = String(repeating: "u", count: 255)
        #expect(try bench.ask("SCORE", "u1", "1", longest).elements == [.null])
    }

    @Test func readySaysWhatIsMissing() throws {
        let small = try SmallVersion(items: 100, users: 2)
        let bench = try Bench(self.engine(small))
        #expect(try bench.ask("READY") == .simple("OK"))
        #expect(ErrorCode.loading.mayBeAnsweredElsewhere && !ErrorCode.loading.mayBeStored)
    }
}

private final class Counter: Sendable {
    private let value = Atomic<Int>(0)
    func next() -> Int { self.value.wrappingAdd(1, ordering: .relaxed).newValue }
    var count: Int { self.value.load(ordering: .relaxed) }
}
