import AnnexCore
import AnnexEngine
import AnnexStore
import AnnexTestSupport
import AnnexVersionSupport
import Testing

/// What users have seen is left out by every kind of index, from nothing to everything, against a sort of all items.
@Suite struct SeenSelectivityTests {
    private static let items = 2_000
    private static let shares = [0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 1]

    /// Users `u0` … have seen a growing share of the items, drawn at random: by the tenth a run of neighbours in ordinals.
    private static func histories() -> [String: [HistoryEntry]] {
        var random = SeededRandom(seed: 20_241_125)
        var all: [String: [HistoryEntry]] = [:]
        for (number, share) in Self.shares.enumerated() {
            let count = Int(share * Double(Self.items))
            let seen = Array(0..<Int32(Self.items)).shuffled(using: &random).prefix(count).sorted()
            if count > 0 { all["u\(number)"] = seen.map { HistoryEntry(ordinal: $0, weight: 1) } }
        }
        return all
    }

    @Test(arguments: ["HNSW16", "IVF16,SQ8", "IVF16,PQ8", "Flat"], Metric.allCases)
    func everyKindAtEverySelectivity(_ kind: String, _ metric: Metric) throws {
        let histories = Self.histories()
        let small = try SmallVersion(
            items: Self.items,
            users: Self.shares.count,
            dimension: 16,
            kind: kind,
            metric: metric,
            histories: histories
        )
        let version = try ServedVersion(loading: small.description)
        defer { withExtendedLifetime(version) {} }
        let context = try QueryContext(version)
        var compared = 0
        for number in Self.shares.indices {
            let seen = Set((histories["u\(number)"] ?? []).map(\.ordinal))
            let id = Array("u\(number)".utf8)
            #expect(try context.useUser(id.span, UserRequest()) == .ready)
            #expect(context.excludedCount == seen.count)
            let scores = (0..<Int32(Self.items)).map { context.score($0) }
            let order = (0..<Int32(Self.items)).filter { !seen.contains($0) }.sorted { one, other in
                let (a, b) = (scores[Int(one)], scores[Int(other)])
                return a == b ? one < other : metric == .l2 ? a < b : a > b
            }
            for k in [1, 10, 300, Self.items] {
                _ = try context.search(k: k, effort: .exact)
                #expect(context.hits.map(\.ordinal) == Array(order.prefix(k)), "u\(number), k = \(k)")
                let effort = small.description.effort(leavingOut: context.excludedCount)
                _ = try context.search(k: k, effort: effort)
                let found = context.hits.map(\.ordinal)
                #expect(found.count == min(k, order.count), "always k answers: u\(number), k = \(k)")
                #expect(Set(found).count == found.count && found.allSatisfy { !seen.contains($0) })
                compared += 1
            }
            #expect(try context.useUser(id.span, UserRequest(leavesOutSeen: false)) == .ready)
            #expect(context.excludedCount == 0)
        }
        #expect(compared == 40)
    }
}
