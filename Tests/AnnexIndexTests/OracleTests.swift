import AnnexCore
import AnnexIndex
import AnnexTestSupport
import Foundation
import Testing

/// Rows drawn from a seed, in memory and on disk, with the exact answer in double precision.
struct Fixture {
    static let seed: UInt64 = 20_240_301
    let folder: TemporaryFolder
    let rows: [[Float]]
    let vectors: VectorFile

    init(rows count: Int, dimension: Int, seed: UInt64 = Fixture.seed) throws {
        var random = SeededRandom(seed: seed)
        try self.init(
            (0..<count).map { _ in
                let length = Float.random(in: 0.2..<2, using: &random)
                return (0..<dimension).map { _ in random.normal() * length }
            }
        )
    }

    init(_ rows: [[Float]]) throws {
        let (count, dimension) = (rows.count, rows[0].count)
        self.folder = try TemporaryFolder()
        self.rows = rows
        let path = self.folder.file("vectors.f32")
        let writer = try VectorFileWriter(path: path, rows: count, dimension: dimension)
        for ordinal in (0..<count).reversed() {
            let row = self.rows[ordinal]
            try writer.write(row: row.span, ordinal: ordinal)
        }
        try writer.finish()
        self.vectors = try VectorFile(path: path, rows: count, dimension: dimension)
    }

    static func norm(_ row: [Float]) -> Double { row.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }

    static func score(_ a: [Float], _ b: [Float], _ metric: Metric) -> Double {
        switch metric {
        case .l2: return zip(a, b).reduce(0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }
        case .ip: return zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        case .cosine:
            let lengths = Self.norm(a) * Self.norm(b)
            return lengths > 0 ? Self.score(a, b, .ip) / lengths : 0
        }
    }

    func exact(_ query: [Float], k: Int, _ metric: Metric, without: Set<Int32> = []) -> [(Int32, Double)] {
        let all = self.rows.indices.map { (Int32($0), Self.score(query, self.rows[$0], metric)) }
            .filter { !without.contains($0.0) }
        let sorted = all.sorted { a, b in
            a.1 == b.1 ? a.0 < b.0 : (metric.higherIsBetter ? a.1 > b.1 : a.1 < b.1)
        }
        return Array(sorted.prefix(k))
    }

    func search(
        _ index: VectorIndex,
        _ query: [Float],
        k: Int,
        _ effort: SearchEffort,
        layout: ScanLayout? = nil,
        without: Set<Int32> = []
    ) throws -> ([Hit], SearchReport) {
        let searcher = Searcher(index: index, layout: layout, vectors: self.vectors, metric: index.metric)
        var hits: [Hit] = []
        let report = try self.search(searcher, query, k, effort, without, &hits)
        return (hits, report)
    }

    func hits(
        _ searcher: Searcher,
        _ query: [Float],
        k: Int,
        _ effort: SearchEffort,
        without: Set<Int32> = []
    ) throws -> [Hit] {
        var hits: [Hit] = []
        _ = try self.search(searcher, query, k, effort, without, &hits)
        return hits
    }

    private func search(
        _ searcher: Searcher,
        _ query: [Float],
        _ k: Int,
        _ effort: SearchEffort,
        _ without: Set<Int32>,
        _ hits: inout [Hit]
    ) throws -> SearchReport {
        var scratch = SearchScratch()
        var marks = ExclusionMarks(rows: self.rows.count)
        marks.begin()
        for ordinal in without { marks.mark(ordinal) }
        return try searcher.search(
            query: query.span,
            queryNorm: Float(Self.norm(query)),
            k: k,
            effort: effort,
            exclusion: marks,
            scratch: &scratch,
            hits: &hits
        )
    }
}

@Suite struct OracleTests {
    static let kinds = [
        "Flat", "HNSW16", "HNSW16,SQ8", "IVF16,Flat", "IVF16,SQ8", "IVF8,PQ8", "PCA16,IVF16,Flat", "PCA16,HNSW16",
        "OPQ8,IVF8,PQ8", "OPQ8_16,HNSW16",
    ]

    @Test(arguments: kinds, Metric.allCases)
    func everyKindAndMetric(_ text: String, _ metric: Metric) throws {
        for withCodes in [false, true] { try self.everyKindAndMetric(text, metric, withCodes) }
    }

    private func everyKindAndMetric(_ text: String, _ metric: Metric, _ withCodes: Bool) throws {
        let fixture = try Fixture(rows: 1_500, dimension: 24)
        let index = try VectorIndex.build(
            kind: IndexKind(parsing: text),
            metric: metric,
            vectors: fixture.vectors,
            seed: 7,
            threads: 2
        ) { _ in }
        let path = fixture.folder.file("index.faiss")
        try index.write(path: path)
        let loaded = try VectorIndex.load(path: path, kind: index.kind, metric: metric, dimension: 24, rows: 1_500)
        let layout = withCodes ? try loaded.scanLayout(vectors: fixture.vectors, threads: 2).layout : nil
        let full: SearchEffort =
            switch index.kind.knob(metric, withCodes: withCodes) {
            case .efSearch: .efSearch(512)
            case .kappa: .kappa(1)
            case .nprobe, nil: .nprobe(16)
            }
        var random = SeededRandom(seed: Fixture.seed + 1)
        var found = 0
        for _ in 0..<20 {
            let query = (0..<24).map { _ in random.normal() }
            let expected = fixture.exact(query, k: 10, metric)
            let (exact, _) = try fixture.search(loaded, query, k: 10, .exact, layout: layout)
            #expect(exact.map(\.ordinal) == expected.map(\.0), "seed \(Fixture.seed)")
            for (hit, truth) in zip(exact, expected) {
                #expect(abs(Double(hit.score) - truth.1) <= 1e-5 * max(1, abs(truth.1)))
            }
            let (approximate, _) = try fixture.search(loaded, query, k: 10, full, layout: layout)
            #expect(approximate.count == 10)
            for hit in approximate {
                let truth = Fixture.score(query, fixture.rows[Int(hit.ordinal)], metric)
                #expect(abs(Double(hit.score) - truth) <= 1e-5 * max(1, abs(truth)), "an answer's score is exact")
            }
            found += Set(approximate.map(\.ordinal)).intersection(expected.map(\.0)).count
        }
        let leastRecall = full == .kappa(1) ? 1 : text.contains("PQ") ? 0.6 : text.contains("PCA16,IVF") ? 0.8 : 0.97
        #expect(Double(found) / 200 >= leastRecall, "\(text) \(metric): recall \(Double(found) / 200)")
    }

    @Test(arguments: ["Flat", "HNSW16", "IVF16,Flat", "PCA16,HNSW16", "IVF8,PQ8"], Metric.allCases)
    func excludedItemsNeverAppearAndKAnswersDo(_ text: String, _ metric: Metric) throws {
        let fixture = try Fixture(rows: 600, dimension: 24)
        let index = try VectorIndex.build(
            kind: IndexKind(parsing: text),
            metric: metric,
            vectors: fixture.vectors,
            seed: 7,
            threads: 1
        ) { _ in }
        let query = fixture.rows[17]
        for layout in [nil, try index.scanLayout(vectors: fixture.vectors, threads: 1).layout] {
            let effort: SearchEffort =
                switch index.kind.knob(metric, withCodes: layout != nil) {
                case .efSearch: .efSearch(64)
                case .kappa: .kappa(0.5)
                case .nprobe, nil: .nprobe(4)
                }
            for count in [0, 1, 10, 300, 590, 595, 600] {
                let without = Set(fixture.exact(query, k: count, metric).map(\.0))
                let (hits, _) = try fixture.search(index, query, k: 10, effort, layout: layout, without: without)
                #expect(hits.count == min(10, 600 - count), "\(count) excluded")
                #expect(Set(hits.map(\.ordinal)).isDisjoint(with: without))
                let (exact, _) = try fixture.search(index, query, k: 10, .exact, layout: layout, without: without)
                #expect(exact.map(\.ordinal) == fixture.exact(query, k: 10, metric, without: without).map(\.0))
            }
        }
    }

    @Test func equalScoresAreOrderedByOrdinal() throws {
        let folder = try TemporaryFolder()
        let writer = try VectorFileWriter(path: folder.file("v"), rows: 50, dimension: 3)
        for ordinal in 0..<50 {
            try writer.write(row: [Float(1), 0, 0].span, ordinal: ordinal)
        }
        try writer.finish()
        let vectors = try VectorFile(path: folder.file("v"), rows: 50, dimension: 3)
        let index = try VectorIndex.build(
            kind: IndexKind(parsing: "Flat"),
            metric: .ip,
            vectors: vectors,
            seed: 1,
            threads: 1
        ) { _ in }
        var scratch = SearchScratch()
        var hits: [Hit] = []
        let marks = ExclusionMarks(rows: 50)
        for layout in [nil, try index.scanLayout(vectors: vectors, threads: 1).layout] {
            _ = try Searcher(index: index, layout: layout, vectors: vectors, metric: .ip).search(
                query: [Float(2), 1, 1].span,
                queryNorm: 1,
                k: 7,
                effort: .exact,
                exclusion: marks,
                scratch: &scratch,
                hits: &hits
            )
            #expect(hits.map(\.ordinal) == Array(0..<7))
        }
    }

    @Test func sameSeedOneThreadSameBytes() throws {
        let fixture = try Fixture(rows: 2_000, dimension: 16)
        // A rotation comes out of OpenBLAS, whose number of threads is one for the whole process, and other tests change it:
        // Tests/Clients/test_40_versions.py builds OPQ twice in processes of their own.
        for text in ["HNSW16", "IVF16,SQ8"] {
            let files = try (0..<2).map { round in
                let path = fixture.folder.file("index-\(round)")
                try VectorIndex.build(
                    kind: IndexKind(parsing: text),
                    metric: .ip,
                    vectors: fixture.vectors,
                    seed: 3,
                    threads: 1
                ) { _ in }.write(path: path)
                return try Data(contentsOf: URL(fileURLWithPath: path))
            }
            #expect(files[0] == files[1], "\(text)")
        }
    }

    @Test func graphIsDescribed() throws {
        let fixture = try Fixture(rows: 800, dimension: 16)
        let graph = try VectorIndex.build(
            kind: IndexKind(parsing: "HNSW8"),
            metric: .l2,
            vectors: fixture.vectors,
            seed: 3,
            threads: 1
        ) { _ in }
        let links = try #require(graph.links(of: 5))
        #expect(!links.isEmpty && links.last!.count <= 16 && links.joined().allSatisfy { (0..<800).contains($0) })
        #expect(graph.links(of: 800) == nil && graph.links(of: -1) == nil)
        let flat = try VectorIndex.build(
            kind: IndexKind(parsing: "Flat"),
            metric: .l2,
            vectors: fixture.vectors,
            seed: 3,
            threads: 1
        ) { _ in }
        #expect(flat.links(of: 5) == nil && flat.maximumLevel == nil)
    }

    @Test func damagedFilesAreRefused() throws {
        let fixture = try Fixture(rows: 300, dimension: 8)
        let path = fixture.folder.file("index")
        let kind = try IndexKind(parsing: "HNSW8")
        try VectorIndex.build(kind: kind, metric: .ip, vectors: fixture.vectors, seed: 3, threads: 1) { _ in }
            .write(path: path)
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        var refused = 0
        for length in stride(from: 0, to: whole.count - 1, by: max(1, whole.count / 97)) {
            try whole.prefix(length).write(to: URL(fileURLWithPath: path))
            #expect(throws: AnnexError.self) {
                try VectorIndex.load(path: path, kind: kind, metric: .ip, dimension: 8, rows: 300)
            }
            refused += 1
        }
        try whole.write(to: URL(fileURLWithPath: path))
        #expect(throws: AnnexError.self) {
            try VectorIndex.load(path: path, kind: kind, metric: .ip, dimension: 9, rows: 300)
        }
        #expect(throws: AnnexError.self) {
            try VectorIndex.load(path: path, kind: kind, metric: .ip, dimension: 8, rows: 299)
        }
        #expect(throws: AnnexError.self) {
            try VectorIndex.load(path: path, kind: kind, metric: .l2, dimension: 8, rows: 300)
        }
        let other = try IndexKind(parsing: "HNSW16")
        #expect(throws: AnnexError.self) {
            try VectorIndex.load(path: path, kind: other, metric: .ip, dimension: 8, rows: 300)
        }
        print("damagedFilesAreRefused: \(refused) truncations injected, all refused")
    }

    @Test func vectorFileChecksItsLength() throws {
        let fixture = try Fixture(rows: 10, dimension: 5)
        let path = fixture.folder.file("vectors.f32")
        #expect(fixture.vectors.stride == 16)
        #expect(throws: AnnexError.self) { try VectorFile(path: path, rows: 11, dimension: 5) }
        #expect(throws: AnnexError.self) { try VectorFile(path: path, rows: 10, dimension: 17) }
        #expect(throws: AnnexError.self) { try VectorFile(path: path, rows: Int.max, dimension: 4_096) }
        #expect(throws: AnnexError.self) { try VectorFile(path: path, rows: 0, dimension: 5) }
        #expect(throws: AnnexError.self) { try VectorFile(path: path + "x", rows: 10, dimension: 5) }
    }
}
