import AnnexCore
import AnnexEngine
import AnnexIndex
import AnnexTestSupport
import AnnexVersionSupport
import Synchronization
import Testing

/// No search reads more items than its budget allows, whatever is left out and however the rows lie: it says that it costs too
/// much instead. Counted in items, not in time.
@Suite struct SearchLimitTests {
    private static let items = 8_000
    private static let dimension = 32
    /// Nanoseconds beside those of the hits, for 7,000 to 31,000 items by their codes.
    private static let budgets: [Double] = [9_000, 9_900, 40_000]

    private func version(_ kind: String, _ metric: Metric, codes: Bool) throws -> (SmallVersion, ServedVersion) {
        var small = try SmallVersion(items: Self.items, users: 8, dimension: Self.dimension, kind: kind, metric: metric)
        if codes {
            // As if the build had found that queries read next to nothing.
            small.description.readsByKappa = [(kappa: 1, items: 10)]
        } else {
            small.description.files.serving = nil
            if case .kappa = small.description.defaultEffort.plain {
                small.description.defaultEffort = DefaultEffort(.nprobe(2))
            }
        }
        return (small, try ServedVersion(loading: small.description))
    }

    @Test(arguments: ["HNSW8", "IVF16,SQ8", "IVF16,PQ8", "Flat"], Metric.allCases)
    func noSearchGoesBeyondItsBudget(_ kind: String, _ metric: Metric) throws {
        var (answered, handedOn, searches) = (0, 0, 0)
        for codes in [true, false] {
            let (small, version) = try self.version(kind, metric, codes: codes)
            defer { withExtendedLifetime(small) {} }
            let context = try QueryContext(version)
            for user in 0..<2 {
                let id = Array("u\(user)".utf8)
                #expect(try context.useUser(id.span, UserRequest()) == .ready)
                _ = try context.search(k: 5_000, effort: .exact)
                let nearest = context.hits.map(\.ordinal)
                for seen in [0, 10, 240, 280, 500, 5_000] {
                    for k in [10, 100] {
                        for budget in Self.budgets {
                            let excluded = Array(nearest.prefix(seen))
                            let query = RecommendationQuery(
                                k: k,
                                // A walk that costs less than a scan of so few items.
                                effort: kind.hasPrefix("HNSW") ? .efSearch(16) : nil,
                                user: UserRequest(excluded: excluded, budgetNanos: budget + Self.nanosOfHits(k))
                            )
                            let before = context.itemsRead
                            let answer = try context.answer(query, for: id.span)
                            let read = context.itemsRead - before
                            searches += 1
                            #expect(
                                read <= Self.mostRead(budget),
                                "\(read) items of \(kind) \(metric), codes \(codes), \(seen) left out, budget \(budget)"
                            )
                            if answer == .hits { answered += 1 } else { handedOn += 1 }
                            guard answer == .tooCostly else { continue }
                            #expect(context.hits.isEmpty || read == 0)
                            let whole = RecommendationQuery(k: k, user: UserRequest(excluded: excluded))
                            #expect(try context.answer(whole, for: id.span) == .hits)
                            #expect(context.hits.count == k)
                            #expect(Set(excluded).isDisjoint(with: context.hits.map(\.ordinal)))
                        }
                    }
                }
            }
        }
        print("\(kind) \(metric): \(searches) searches, \(answered) within their budget, \(handedOn) handed on")
        #expect(answered > 0 && handedOn > 0)
    }

    private static func nanosOfHits(_ k: Int) -> Double { Double(k) * WorkEstimate.nanosPerResult }

    /// What the budget pays for by codes, one look more, and a walk: that is bounded by its width.
    private static func mostRead(_ budget: Double) -> Int {
        Int(budget / (Double(Self.dimension) * 0.04)) + 4_096 + (64 + 256) * 16
    }

    /// Queries that 8 bits cannot stand for read float32 rows, three times as dear.
    @Test(arguments: ["HNSW8", "IVF16,SQ8"]) func whatHasNoCodesIsHandedOn(_ kind: String) throws {
        let (small, version) = try self.version(kind, .ip, codes: true)
        defer { withExtendedLifetime(small) {} }
        let context = try QueryContext(version)
        let effort = kind.hasPrefix("HNSW") ? .efSearch(16) : small.description.defaultEffort.plain
        for value in [Float(9e-16), 1] {
            let query = SimilarityQuery(k: 10, effort: effort, budgetNanos: 30_000 + Self.nanosOfHits(10))
            let before = context.itemsRead
            let answer = try context.answer(query, nearVectorOf: Self.dimension) { $0 < 4 ? value : value / 4 }
            #expect(answer == (value == 1 ? .hits : .tooCostly), "\(kind), components of \(value)")
            if answer == .tooCostly { #expect(context.itemsRead - before < Self.items) }
            let whole = SimilarityQuery(k: 10, effort: effort)
            #expect(try context.answer(whole, nearVectorOf: Self.dimension) { $0 < 4 ? value : value / 4 } == .hits)
            #expect(context.hits.count == 10)
        }
    }

    // MARK: Stopping

    @Test(arguments: ["HNSW8", "IVF16,SQ8", "Flat"], [true, false])
    func whatRunsStopsAtItsNextLook(_ kind: String, _ codes: Bool) throws {
        let small = try SmallVersion(items: 20_000, users: 4, dimension: 8, kind: kind)
        var description = small.description
        if !codes { description.files.serving = nil }
        let version = try ServedVersion(loading: description)
        defer { withExtendedLifetime(version) {} }
        let id = Array("u1".utf8)
        for last in 1...4 {
            let looks = Looks(last)
            let context = try version.borrowContext(stop: looks.signal)
            let query = RecommendationQuery(k: 5_000, effort: .exact)
            let before = context.itemsRead
            #expect(throws: AnnexError.self) { try context.answer(query, for: id.span) }
            #expect(looks.signal.wasHeeded && looks.count >= last)
            // The first look comes before anything is read, each other after 4,096 items at most.
            let read = context.itemsRead - before
            #expect(read <= (last - 1) * 4_096 + 512, "\(read) items after \(last) looks")
            version.giveBack(context)
        }
        let context = try version.borrowContext()
        #expect(
            try context.answer(RecommendationQuery(k: 5, effort: .exact), for: id.span) == .hits
        )
    }

    @Test func countingARankStops() throws {
        let small = try SmallVersion(items: 20_000, users: 4, dimension: 8, kind: "IVF16,SQ8")
        let version = try ServedVersion(loading: small.description)
        defer { withExtendedLifetime(version) {} }
        let looks = Looks(4)
        let context = try version.borrowContext(stop: looks.signal)
        let id = Array("u1".utf8)
        #expect(throws: AnnexError.self) {
            try context.whyNot(
                RecommendationQuery(k: 5, effort: .kappa(0.1)),
                item: 7,
                isListed: false,
                for: id.span
            )
        }
        #expect(context.itemsRead < 20_000, "\(context.itemsRead) items were read")
        version.giveBack(context)
        // The rank is that of a sort.
        let whole = try version.borrowContext()
        let why = try whole.whyNot(
            RecommendationQuery(k: 5, effort: .exact),
            item: 7,
            isListed: false,
            for: id.span
        )
        let scores = (0..<Int32(20_000)).map { whole.score($0) }
        let better = scores.indices.filter { scores[$0] > scores[7] || (scores[$0] == scores[7] && $0 < 7) }
        #expect(why?.rank == better.count + 1)
    }
}

/// A signal whose time is over at a given look.
private final class Looks: Sendable {
    private let seen = Atomic<Int>(0)
    private let last: Int
    /// Set once, before anybody looks.
    nonisolated(unsafe) private(set) var signal = StopSignal()

    init(_ last: Int) {
        self.last = last
        self.signal = StopSignal(deadline: 0) { [unowned self] in
            self.seen.wrappingAdd(1, ordering: .relaxed).newValue >= self.last ? 1 : 0
        }
    }

    var count: Int { self.seen.load(ordering: .relaxed) }
}
