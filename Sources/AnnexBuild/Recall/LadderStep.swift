import AnnexCore
import AnnexIndex

/// The answers to held-out queries at one value of a kind's search parameter.
struct LadderStep {
    /// The knob is `efSearch`, `nprobe`, `kappa` or `exact`.
    let knob: String
    let value: Double
    /// Answers in the order of the queries.
    let answers: [QueryRun.Answer]
    let recalls: [Double]

    /// Asks all queries. Blocks.
    init(
        _ value: Double,
        of knob: IndexKind.Knob?,
        _ queries: HeldOutQueries,
        _ truth: RecallTruth,
        searcher: Searcher,
        rows: Int,
        threads: Int,
        excluding: QueryRun.Exclusion = .nothing
    ) throws(AnnexError) {
        self.knob = knob?.rawValue ?? "exact"
        self.value = value
        self.answers = try QueryRun.all(
            queries,
            searcher: searcher,
            rows: rows,
            k: truth.k,
            effort: SearchEffort(knob, value),
            threads: threads,
            excluding: excluding
        )
        self.recalls = truth.recalls(of: self.answers)
    }

    /// Takes the exact search's own answers, which were timed when they were computed.
    init(exact truth: RecallTruth) {
        (self.knob, self.value, self.answers) = ("exact", 0, truth.answers)
        self.recalls = truth.recalls(of: truth.answers)
    }

    /// Mean microseconds per query, one thread.
    var micros: Double { self.answers.reduce(0) { $0 + $1.nanos } / 1_000 / Double(self.answers.count) }

    /// Counts items read by a query, on average. It is nil where FAISS searched.
    var itemsRead: Double? { QueryRun.itemsRead(self.answers) }

    // MARK: Statistics

    /// - Parameter recalls: of the queries that choose.
    func point(of recalls: [Double]) -> Manifest.OperatingPoint {
        Manifest.OperatingPoint(
            knob: self.knob,
            value: self.value,
            recall: Self.rounded(Self.mean(recalls)),
            recallLowerBound: Self.rounded(Self.lowerBound(recalls)),
            worst: Self.rounded(recalls.min() ?? 0),
            itemsRead: self.itemsRead?.rounded()
        )
    }

    static func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(max(1, values.count)) }

    /// Returns the one-sided bound of 95 %: mean − 1.645 × standard error over the queries.
    private static func lowerBound(_ values: [Double]) -> Double {
        guard values.count > 1 else { return values.first ?? 0 }
        let mean = Self.mean(values)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
        return mean - 1.645 * (variance / Double(values.count)).squareRoot()
    }

    static func rounded(_ value: Double) -> Double { (value * 1e6).rounded(.down) / 1e6 }
}
