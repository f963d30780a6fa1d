import AnnexCore
import AnnexIndex
import AnnexTestSupport
import Testing

/// Rows that stand closer together than 8-bit codes can tell apart: a pool of what codes find best lacks most of the
/// answers, unless it is seen that it may.
@Suite struct CrowdedRowsTests {
    static let seed: UInt64 = 20_261_124
    static let dimension = 24

    private func row(around center: [Float], _ spread: Float, _ random: inout SeededRandom) -> [Float] {
        center.map { $0 + spread * random.normal() }
    }

    @Test(arguments: Metric.allCases, ["IVF32,Flat", "HNSW16"])
    func recallIsThatOfExactScores(_ metric: Metric, _ kind: String) throws {
        var random = SeededRandom(seed: Self.seed)
        // A graph has no way between crowds that are far apart.
        let (crowds, spread): (Int, Float) = kind.hasPrefix("HNSW") ? (2, 0.2) : (20, 0.05)
        let centers = (0..<crowds).map { _ in (0..<Self.dimension).map { _ in 3 + random.normal() } }
        let fixture = try Fixture((0..<6_000).map { self.row(around: centers[$0 % crowds], spread, &random) })
        let index = try VectorIndex.build(
            kind: IndexKind(parsing: kind),
            metric: metric,
            vectors: fixture.vectors,
            seed: 7,
            threads: 2
        ) { _ in }
        let layout = try index.scanLayout(vectors: fixture.vectors, threads: 2).layout
        let effort: SearchEffort =
            switch index.kind.knob(metric, withCodes: true) {
            case .efSearch: .efSearch(400)
            case .kappa: .kappa(1)
            case .nprobe, nil: .nprobe(32)
            }
        let isGraph = index.kind.knob(metric, withCodes: true) == .efSearch
        var right = 0
        var rightWithoutCodes = 0
        var most = 0
        for number in 0..<100 {
            let query = self.row(around: centers[number % crowds], spread, &random)
            // Some that every query would like best are left out: what is scored late must heed that too.
            let without = number / 2 % 2 == 0 ? [] : Set(fixture.exact(query, k: 5, metric).map(\.0))
            let truth = fixture.exact(query, k: 10, metric, without: without)
            let (hits, report) = try fixture.search(index, query, k: 10, effort, layout: layout, without: without)
            #expect(hits.count == 10 && Set(hits.map(\.ordinal)).isDisjoint(with: without))
            #expect(Set(hits.map(\.ordinal)).count == 10, "no item twice")
            #expect(!report.usedExactFallback)
            let best = Set(truth.map(\.0))
            right += best.intersection(hits.map(\.ordinal)).count
            if isGraph {
                let (plain, _) = try fixture.search(index, query, k: 10, effort, without: without)
                rightWithoutCodes += best.intersection(plain.map(\.ordinal)).count
            }
            most = max(most, report.read ?? 0)
        }
        let recall = Double(right) / 1_000
        // Two threads make another graph each time, and now and then one that leads a little worse: what codes may not do
        // is make it worse still.
        let wanted = isGraph ? min(0.99, Double(rightWithoutCodes) / 1_000 - 0.005) : 0.99
        print("crowded rows, \(metric), \(kind): recall@10 \(recall), at most \(most) of 6000 items read")
        #expect(recall >= wanted && recall >= 0.9, "seed \(Self.seed), without codes \(rightWithoutCodes) of 1000")
    }
}
