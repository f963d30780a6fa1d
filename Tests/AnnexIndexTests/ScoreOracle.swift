import AnnexCore
import AnnexIndex

/// What a search must answer, by sums in double precision.
struct ScoreOracle {
    let rows: [[Float]]
    let metric: Metric
    private let norms: [Double]

    init(_ rows: [[Float]], _ metric: Metric) {
        (self.rows, self.metric) = (rows, metric)
        self.norms = rows.map(Fixture.norm)
    }

    /// Of each row the score in double precision, and by how much one in float32 may differ from it: see `Searcher`.
    func scores(_ query: [Float]) -> [(score: Double, error: Double)] {
        let norm = Fixture.norm(query)
        let relative = (Double(query.count) / 32 + 16) * 0x1p-24
        let absolute = Double(query.count) * 0x1p-149
        return self.rows.indices.map { ordinal in
            var sum = 0.0
            self.rows[ordinal].withUnsafeBufferPointer { row in
                query.withUnsafeBufferPointer { query in
                    for place in 0..<query.count {
                        let (a, b) = (Double(query[place]), Double(row[place]))
                        sum += self.metric == .l2 ? (a - b) * (a - b) : a * b
                    }
                }
            }
            let lengths = norm * self.norms[ordinal]
            switch self.metric {
            case .ip: return (sum, relative * lengths + absolute)
            case .l2: return (sum, relative * sum + absolute)
            case .cosine: return lengths > 0 ? (sum / lengths, relative + absolute / lengths) : (0, 0)
            }
        }
    }

    /// The first thing that is wrong with an answer; nil where it is right.
    ///
    /// - Parameters:
    ///   - scores: of the query, by `scores`.
    ///   - isExact: whether no item that was left out may score better than the worst answer.
    func problem(
        _ hits: [Hit],
        _ scores: [(score: Double, error: Double)],
        k: Int,
        without: Set<Int32> = [],
        isExact: Bool
    ) -> String? {
        let wanted = min(k, self.rows.count - without.count)
        guard hits.count == wanted else { return "\(hits.count) hits where \(wanted) are due" }
        guard Set(hits.map(\.ordinal)).count == wanted else { return "an item twice" }
        guard without.isDisjoint(with: hits.map(\.ordinal)) else { return "an item that is left out" }
        for hit in hits {
            let (score, error) = scores[Int(hit.ordinal)]
            guard abs(Double(hit.score) - score) <= error else {
                return "item \(hit.ordinal) scores \(hit.score), not \(score) ± \(error)"
            }
        }
        for (first, second) in zip(hits, hits.dropFirst())
        where !self.metric.isBetter(first.score, than: second.score)
            && (first.score != second.score || first.ordinal > second.ordinal)
        { return "items \(first.ordinal) and \(second.ordinal) are out of order" }
        guard isExact, let last = hits.last else { return nil }
        let found = Set(hits.map(\.ordinal))
        for ordinal in self.rows.indices.map({ Int32($0) }) where !found.contains(ordinal) && !without.contains(ordinal)
        {
            let (score, error) = scores[Int(ordinal)]
            let lead = (score - Double(last.score)) * (self.metric.higherIsBetter ? 1 : -1)
            guard lead <= error else {
                return "item \(ordinal) is missing: \(score) ± \(error), the last is \(last.score)"
            }
        }
        return nil
    }
}
