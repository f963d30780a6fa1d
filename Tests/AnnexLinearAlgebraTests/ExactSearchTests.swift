import AnnexCore
import AnnexLinearAlgebra
import AnnexTestSupport
import Testing

/// Blocked matrix products against sums in double precision.
@Suite struct ExactSearchTests {
    static let seed: UInt64 = 20_261_125

    private struct Data {
        let rows: [Float]
        let queries: [Float]
        let norms: [Float]
        let count: Int
        let queryCount: Int
        let dimension: Int
        let stride: Int

        init(rows count: Int, queries: Int, dimension: Int, stride: Int) {
            var random = SeededRandom(seed: ExactSearchTests.seed)
            self.rows = (0..<count * stride).map { $0 % stride < dimension ? random.normal() : 0 }
            self.queries = (0..<queries * dimension).map { _ in random.normal() }
            self.norms = (0..<count).map { [rows] row in
                Float(
                    (0..<dimension).reduce(0.0) { $0 + Double(rows[row * stride + $1] * rows[row * stride + $1]) }
                        .squareRoot()
                )
            }
            (self.count, self.queryCount, self.dimension, self.stride) = (count, queries, dimension, stride)
        }

        func score(_ query: Int, _ row: Int, _ metric: Metric) -> Double {
            var sum = 0.0
            var square = 0.0
            for place in 0..<self.dimension {
                let (a, b) = (
                    Double(self.queries[query * self.dimension + place]), Double(self.rows[row * self.stride + place])
                )
                sum += metric == .l2 ? (a - b) * (a - b) : a * b
                square += a * a
            }
            let lengths = square.squareRoot() * Double(self.norms[row])
            return metric == .cosine ? (lengths > 0 ? sum / lengths : 0) : sum
        }

        func top(_ k: Int, _ metric: Metric, threads: Int) -> [Hit] {
            ExactSearch.top(
                k: k,
                queries: self.queries.span,
                queryCount: self.queryCount,
                rows: self.rows.span,
                rowCount: self.count,
                stride: self.stride,
                dimension: self.dimension,
                norms: self.norms.span,
                metric: metric,
                threads: threads,
                progress: { _ in }
            )
        }
    }

    @Test(arguments: Metric.allCases, [1, 2, 3])
    func theBestByDoublePrecision(_ metric: Metric, _ threads: Int) {
        // More rows and queries than one block, neither a multiple of it; rows further apart than they are long.
        let data = Data(rows: 5_003, queries: 70, dimension: 19, stride: 32)
        let hits = data.top(10, metric, threads: threads)
        #expect(hits.count == 700)
        for query in 0..<70 {
            let scores = (0..<5_003).map { data.score(query, $0, metric) }
            let best = scores.sorted(by: metric.higherIsBetter ? (>) : (<)).prefix(10)
            let found = hits[query * 10..<query * 10 + 10]
            for (hit, expected) in zip(found, best) {
                #expect(abs(scores[Int(hit.ordinal)] - expected) < 1e-4 * max(1, abs(expected)), "seed \(Self.seed)")
            }
            #expect(Set(found.map(\.ordinal)).count == 10)
        }
    }

    @Test(arguments: Metric.allCases) func asManyAsThereAre(_ metric: Metric) {
        let data = Data(rows: 7, queries: 3, dimension: 5, stride: 5)
        let hits = data.top(7, metric, threads: 2)
        for query in 0..<3 { #expect(Set(hits[query * 7..<query * 7 + 7].map(\.ordinal)) == Set(0..<7)) }
    }
}
