import AnnexCore
import AnnexIndex
import AnnexTestSupport
import Foundation
import Testing

/// The walk over codes, and the links that make every item reachable.
@Suite struct GraphTests {
    static let seed: UInt64 = 20_261_125
    /// Enough for a walk with a k of 1,000; in a debug build the plain oracle takes minutes over as many.
    #if DEBUG
    static let rowsForAnyK = 3_000
    #else
    static let rowsForAnyK = 20_000
    #endif

    private func graph(_ fixture: Fixture, _ metric: Metric, _ kind: String = "HNSW8") throws -> (
        VectorIndex, ScanLayout, LinkCounts
    ) {
        let index = try VectorIndex.build(
            kind: IndexKind(parsing: kind),
            metric: metric,
            vectors: fixture.vectors,
            seed: 3,
            threads: 2
        ) { _ in }
        let (layout, counts) = try index.scanLayout(vectors: fixture.vectors, threads: 2)
        return (index, layout, try #require(counts))
    }

    /// Items that links lead to, from where walks begin, by the layout's own answers: an item that has no way in is one
    /// that no other names.
    @Test(arguments: Metric.allCases) func everyItemIsReached(_ metric: Metric) throws {
        let fixture = try Fixture(rows: 3_000, dimension: 20)
        let (index, layout, counts) = try self.graph(fixture, metric)
        // On inner products long rows win, and no link leads to many of the others.
        #expect(metric == .ip ? counts.unreachable > 100 : counts.unreachable < 300)
        #expect(counts.added <= counts.unreachable && (counts.added > 0) == (counts.unreachable > 0))
        let seeds = fixture.seeds(index, metric)
        var reached = Set(seeds)
        var stack = seeds
        var most = 0
        while let next = stack.popLast() {
            let links = try #require(layout.links(of: next))
            most = max(most, links.count)
            for link in links where reached.insert(link).inserted { stack.append(link) }
        }
        #expect(reached.count == 3_000, "seed \(Self.seed)")
        #expect(most <= 16 + 4, "no item is given more than four links")
        #expect(layout.links(of: 3_000) == nil && layout.links(of: -1) == nil)
    }

    /// An item that FAISS's graph leaves out is found when it is asked for.
    @Test func whatWasUnreachableIsFound() throws {
        let fixture = try Fixture(rows: 4_000, dimension: 20)
        let (index, layout, counts) = try self.graph(fixture, .ip)
        let before = try self.found(fixture, index, nil)
        let after = try self.found(fixture, index, layout)
        print("items that are somebody's best: found \(before) by FAISS's links, \(after) with \(counts.added) added")
        #expect(after > before)
    }

    /// How many of some rare items a walk finds as the best answer to a query that points at them.
    private func found(_ fixture: Fixture, _ index: VectorIndex, _ layout: ScanLayout?) throws -> Int {
        var found = 0
        var random = SeededRandom(seed: Self.seed)
        for _ in 0..<200 {
            let query = (0..<20).map { _ in random.normal() }
            let truth = fixture.exact(query, k: 10, .ip)
            let (hits, _) = try fixture.search(index, query, k: 10, .efSearch(24), layout: layout)
            found += Set(hits.map(\.ordinal)).intersection(truth.map(\.0)).count
        }
        return found
    }

    /// Crowds far apart, which a graph of the nearest has hardly a way between: every item is reachable, but walks to many
    /// rows end in a wrong crowd until links are added where they do.
    @Test(arguments: [Metric.l2, .cosine]) func walksGetIntoCrowdsFarApart(_ metric: Metric) throws {
        var random = SeededRandom(seed: Self.seed)
        let centers = (0..<20).map { _ in (0..<24).map { _ in 2 + random.normal() } }
        let fixture = try Fixture(
            (0..<5_000).map { number in centers[number / 250].map { $0 + 0.05 * random.normal() } }
        )
        let (index, layout, counts) = try self.graph(fixture, metric)
        let looks = try #require(counts.looks)
        #expect(looks.tried == 5_000 && looks.missed >= 10 && looks.bridges >= looks.missed)
        #expect(counts.added <= counts.unreachable, "those links are counted apart")
        let missed = try (0..<5_000).count { number in
            let (hits, _) = try fixture.search(index, fixture.rows[number], k: 1, .efSearch(32), layout: layout)
            return hits.first.map { Int($0.ordinal) / 250 } != number / 250
        }
        print(
            "crowds, \(metric): of 5000 rows walks missed \(looks.missed), and the crowds of \(missed) with \(looks.bridges) links more"
        )
        #expect(missed * 5 <= looks.missed, "seed \(Self.seed)")
    }

    @Test(arguments: Metric.allCases, ["HNSW16", "HNSW16,SQ8", "PCA16,HNSW16"])
    func moreEffortFindsMore(_ metric: Metric, _ kind: String) throws {
        let fixture = try Fixture(rows: 5_000, dimension: 24)
        let (index, layout, _) = try self.graph(fixture, metric, kind)
        var random = SeededRandom(seed: Self.seed)
        let queries = (0..<50).map { _ in (0..<24).map { _ in random.normal() } }
        let truths = queries.map { Set(fixture.exact($0, k: 10, metric).map(\.0)) }
        var shares: [Double] = []
        var reference = 0
        for (query, truth) in zip(queries, truths) {
            let (hits, _) = try fixture.search(index, query, k: 10, .efSearch(200))
            reference += truth.intersection(hits.map(\.ordinal)).count
        }
        for ef in [10, 40, 200] {
            var found = 0
            for (query, truth) in zip(queries, truths) {
                let (hits, report) = try fixture.search(index, query, k: 10, .efSearch(ef), layout: layout)
                #expect(hits.count == 10 && !report.usedExactFallback)
                #expect((report.read ?? 0) < 5_000)
                found += truth.intersection(hits.map(\.ordinal)).count
            }
            shares.append(Double(found) / 500)
        }
        // Down from the top by exact distances, over the links that FAISS made.
        let least = Double(reference) / 500 - 0.01
        #expect(shares[2] >= max(least, 0.9) && shares[0] < shares[2], "\(metric) \(kind): \(shares), \(least)")
    }

    /// With any share left out there are k answers, none of those, and walks agree with scans about what is best.
    @Test(arguments: Metric.allCases) func itemsLeftOut(_ metric: Metric) throws {
        let fixture = try Fixture(rows: 4_000, dimension: 24)
        let (index, layout, _) = try self.graph(fixture, metric, "HNSW16")
        var random = SeededRandom(seed: Self.seed)
        var found = 0
        for number in 0..<20 {
            let query = (0..<24).map { _ in random.normal() }
            for count in [1, 20, 200, 1_000, 3_990, 3_995] {
                let without = Set(
                    number % 2 == 0
                        ? fixture.exact(query, k: count, metric).map(\.0)
                        : Array((0..<Int32(4_000)).shuffled(using: &random).prefix(count))
                )
                let (hits, _) = try fixture.search(
                    index,
                    query,
                    k: 10,
                    .efSearch(120),
                    layout: layout,
                    without: without
                )
                #expect(hits.count == min(10, 4_000 - count))
                #expect(without.isDisjoint(with: hits.map(\.ordinal)))
                let truth = fixture.exact(query, k: 10, metric, without: without).map(\.0)
                found += Set(truth).intersection(hits.map(\.ordinal)).count * 10 / truth.count
            }
        }
        #expect(found >= 20 * 6 * 10 * 9 / 10, "\(metric): \(found) of 1200, seed \(Self.seed)")
    }

    @Test(arguments: [1, 16, 17, 64, 65, 512, 1_000]) func anyK(_ k: Int) throws {
        let fixture = try Fixture(rows: Self.rowsForAnyK, dimension: 8)
        let (index, layout, _) = try self.graph(fixture, .l2, "HNSW16")
        for number in [0, 7, Self.rowsForAnyK - 1] {
            let query = fixture.rows[number]
            let (hits, _) = try fixture.search(index, query, k: k, .efSearch(1), layout: layout)
            let truth = fixture.exact(query, k: k, .l2)
            #expect(hits.count == k && hits[0].ordinal == Int32(number))
            #expect(hits.map(\.score) == hits.map(\.score).sorted())
            #expect(Set(hits.map(\.ordinal)).intersection(truth.map(\.0)).count >= k * 8 / 10, "k \(k)")
        }
    }

    @Test func aGraphIsTheSameFromDiskAndBentLinksAreRefused() throws {
        let fixture = try Fixture(rows: 1_500, dimension: 24)
        let (index, layout, _) = try self.graph(fixture, .cosine)
        let path = fixture.folder.file("serving")
        try layout.write(path: path)
        let loaded = try ScanLayout.load(path: path, metric: .cosine, rows: 1_500, dimension: 24)
        #expect(loaded.isGraph && loaded.byteCount == layout.byteCount)
        for number in stride(from: 0, to: 1_500, by: 100) {
            #expect(loaded.links(of: Int32(number)) == layout.links(of: Int32(number)))
            let (a, _) = try fixture.search(index, fixture.rows[number], k: 10, .efSearch(32), layout: layout)
            let (b, _) = try fixture.search(index, fixture.rows[number], k: 10, .efSearch(32), layout: loaded)
            #expect(a == b)
        }
        // Behind the links come the codes of 188 seeds in 6 blocks of 24 × 32 bytes.
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        for value in [Int32(1_500), -1, Int32.max, Int32.min] {
            var bent = whole
            let place = whole.count - 6 * 24 * 32 - 4 * 200
            withUnsafeBytes(of: value.littleEndian) { bent.replaceSubrange(place..<place + 4, with: $0) }
            try bent.write(to: URL(fileURLWithPath: path))
            #expect(throws: AnnexError.self) {
                try ScanLayout.load(path: path, metric: .cosine, rows: 1_500, dimension: 24)
            }
        }
    }
}

extension Fixture {
    /// Where walks begin, told from outside: the longest rows on ip, else the items of the upper levels, 512 at most.
    func seeds(_ index: VectorIndex, _ metric: Metric) -> [Int32] {
        let all = (0..<Int32(self.rows.count))
        let count = min(512, (self.rows.count + 7) / 8)
        if metric == .ip {
            let norms = self.rows.map { Float(Self.norm($0)) }
            return Array(all.sorted { (norms[Int($0)], $1) > (norms[Int($1)], $0) }.prefix(count))
        }
        let levels = all.map { index.links(of: $0)?.count ?? 0 }
        return Array(all.sorted { (levels[Int($0)], $1) > (levels[Int($1)], $0) }.prefix(count))
    }
}
