import AnnexCore
import AnnexIndex
import AnnexTestSupport
import Foundation
import Testing

/// Every exact search gives min(k, eligible) hits, and those that sums in double precision give, within the bound that
/// `Searcher` states. `ANNEX_EXACT_DRAWS` sets of rows per shape and metric.
@Suite struct ExactPropertyTests {
    static let seed: UInt64 = 20_261_129
    static let draws = ProcessInfo.processInfo.environment["ANNEX_EXACT_DRAWS"].flatMap { Int($0) } ?? 2

    private struct Path {
        let name: String
        let searcher: Searcher
        /// Efforts that promise k hits, and not which.
        let others: [SearchEffort]
    }

    /// A plain scan, one order, rows of a graph, clusters.
    private func paths(_ drawn: DrawnRows, _ vectors: VectorFile, _ metric: Metric) throws -> [Path] {
        let builder = ScanBuilder(vectors: vectors, metric: metric, threads: 1)
        var layouts: [(String, ScanLayout?, [SearchEffort])] = [
            ("plain", nil, []), ("order", try builder.ordered(), [.kappa(0.4)]),
            ("graph", try builder.rowCodes(), [.efSearch(9)]),
        ]
        if metric != .l2 {
            let clusters = try builder.clustered(lists: drawn.lists, count: drawn.clusters)
            layouts.append(("clusters", clusters, [.kappa(0), .kappa(0.4), .kappa(1), .nprobe(2)]))
        }
        return layouts.map { name, layout, others in
            let searcher = Searcher(index: nil, layout: layout, vectors: vectors, metric: metric)
            return Path(name: name, searcher: searcher, others: others)
        }
    }

    @Test(arguments: DrawnRows.Shape.allCases, Metric.allCases)
    func exactIsExact(_ shape: DrawnRows.Shape, _ metric: Metric) throws {
        var random = SeededRandom(seed: Self.seed)
        var answers = 0
        var wrong = 0
        for turn in 0..<Self.draws {
            // The first 512 by length stand in front of all clusters on `ip`.
            let count = metric == .ip ? 640 : 200
            let drawn = DrawnRows(shape, count: count, dimensions: turn % 3 == 0 ? 1...4 : 2...64, &random)
            let fixture = try Fixture(drawn.rows)
            let oracle = ScoreOracle(drawn.rows, metric)
            let paths = try self.paths(drawn, fixture.vectors, metric)
            for number in 0..<9 {
                let query = drawn.query(&random)
                let k = [1, 3, 10, 70, count][number % 5]
                let without = Set((0..<[0, 0, 1, 30, count - 2][number / 2]).map { _ in Int32(random.below(count)) })
                let scores = oracle.scores(query)
                for path in paths {
                    for effort in [.exact] + path.others {
                        let hits = try fixture.hits(path.searcher, query, k: k, effort, without: without)
                        answers += 1
                        let problem = oracle.problem(hits, scores, k: k, without: without, isExact: effort == .exact)
                        if problem != nil { wrong += 1 }
                        #expect(
                            problem == nil,
                            "\(path.name), \(effort), \(drawn.dimension) dimensions, k \(k), set \(turn), query \(number)"
                        )
                    }
                }
            }
        }
        print("exact answers: \(shape.rawValue), \(metric), seed \(Self.seed): \(wrong) of \(answers) wrong")
    }

    /// The same where FAISS made the graph and the lists.
    @Test(arguments: ["Flat", "IVF8,Flat", "HNSW8"], Metric.allCases)
    func soItIsOverFaiss(_ kind: String, _ metric: Metric) throws {
        var random = SeededRandom(seed: Self.seed + 1)
        var answers = 0
        for shape in DrawnRows.Shape.allCases {
            let count = metric == .ip ? 640 : 200
            let drawn = DrawnRows(shape, count: count, dimensions: 1...24, &random)
            let fixture = try Fixture(drawn.rows)
            let oracle = ScoreOracle(drawn.rows, metric)
            let index = try VectorIndex.build(
                kind: IndexKind(parsing: kind),
                metric: metric,
                vectors: fixture.vectors,
                seed: 5,
                threads: 1
            ) { _ in }
            let layout = try index.scanLayout(vectors: fixture.vectors, threads: 1).layout
            for number in 0..<4 {
                let query = drawn.query(&random)
                let k = [1, 10, 70, count][number]
                let without = Set((0..<[0, 1, 30, count][number]).map { _ in Int32(random.below(count)) })
                let scores = oracle.scores(query)
                for layout in [layout, nil] {
                    let searcher = Searcher(index: index, layout: layout, vectors: fixture.vectors, metric: metric)
                    for effort in [SearchEffort.exact, .efSearch(4), .nprobe(1), .kappa(0.3)] {
                        let hits = try fixture.hits(searcher, query, k: k, effort, without: without)
                        answers += 1
                        let problem = oracle.problem(hits, scores, k: k, without: without, isExact: effort == .exact)
                        #expect(problem == nil, "\(shape), \(effort), codes: \(layout != nil), k \(k)")
                    }
                }
            }
        }
        print("answers over FAISS: \(kind), \(metric), seed \(Self.seed): \(answers)")
    }

    /// Lengths that float32 products overflow or vanish with, and values that are no numbers: what a score is then nobody
    /// knows, but there are k hits, the same as without codes.
    @Test(arguments: Metric.allCases) func rowsWithoutBoundsAreFound(_ metric: Metric) throws {
        var random = SeededRandom(seed: Self.seed + 2)
        var answers = 0
        for turn in 0..<5 {
            let count = metric == .ip ? 600 : 150
            let plainShare = [0, 0.5, 0.97, 0.97, 0.9][turn]
            let drawn = DrawnRows(.plain, count: count, dimensions: 1...20, &random)
            let strange = drawn.rows.map { row -> [Float] in
                if Double.random(in: 0..<1, using: &random) < plainShare { return row }
                if turn == 4 {
                    return row.map { _ in [.nan, .infinity, -.infinity, 0, 1].randomElement(using: &random) ?? 0 }
                }
                let exponent = Float.random(in: -44...38, using: &random)
                let length = turn == 3 ? Float.infinity : Float(pow(10, Double(exponent)))
                return row.map { _ in max(-3e38, min(3e38, random.normal() * length)) }
            }
            let fixture = try Fixture(strange)
            let paths = try self.paths(drawn, fixture.vectors, metric)
            for number in 0..<8 {
                let scale = Float(pow(10, Double.random(in: number % 2 == 0 ? -40...38 : -1...1, using: &random)))
                let query = drawn.query(&random).map { max(-3e38, min(3e38, $0 * scale)) }
                let k = [1, 10, 70, count][number % 4]
                let without = Set((0..<[0, 5][number / 4]).map { _ in Int32(random.below(count)) })
                let plain = try fixture.hits(paths[0].searcher, query, k: k, .exact, without: without)
                for path in paths {
                    for effort in [.exact] + path.others {
                        let hits = try fixture.hits(path.searcher, query, k: k, effort, without: without)
                        answers += 1
                        #expect(hits.count == min(k, count - without.count), "\(path.name), \(effort), set \(turn)")
                        #expect(Set(hits.map(\.ordinal)).count == hits.count)
                        #expect(without.isDisjoint(with: hits.map(\.ordinal)))
                        guard effort == .exact else { continue }
                        #expect(
                            hits.map(\.ordinal) == plain.map(\.ordinal),
                            "\(path.name), set \(turn), query \(number)"
                        )
                    }
                }
            }
        }
        print("answers over rows without bounds: \(metric), seed \(Self.seed): \(answers), each with k hits")
    }

    /// FAISS would end the process.
    @Test(arguments: [Float(1e19), 1e-30], ["IVF4,Flat", "HNSW8"])
    func faissIsNotAskedToComputeWithThem(_ length: Float, _ kind: String) throws {
        var random = SeededRandom(seed: Self.seed)
        let rows = (0..<200).map { _ in (0..<8).map { _ in random.normal() * length } }
        let fixture = try Fixture(rows)
        func build(_ vectors: VectorFile) throws(AnnexError) -> VectorIndex {
            try .build(kind: IndexKind(parsing: kind), metric: .l2, vectors: vectors, seed: 1, threads: 1) { _ in }
        }
        do throws(AnnexError) {
            _ = try build(fixture.vectors)
            Issue.record("was built")
        } catch {
            #expect(error.code == .badInput && error.message.hasPrefix("row 0 has the length"), "\(error)")
            #expect(error.hint == "Scale all vectors by the same factor")
        }
        _ = try build(Fixture(rows.map { $0.map { $0 / length } }).vectors)
    }
}
