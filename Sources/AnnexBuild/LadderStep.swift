import AnnexCore
import AnnexIndex

/// What held-out queries got at one value of a kind's search parameter.
struct LadderStep {
    /// `efSearch`, `nprobe`, `kappa` or `exact`.
    let knob: String
    let value: Double
    /// In the order of the queries.
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
        threads: Int
    ) throws(AnnexError) {
        self.knob = knob?.rawValue ?? "exact"
        self.value = value
        self.answers = try QueryRun.all(
            queries,
            searcher: searcher,
            rows: rows,
            k: truth.k,
            effort: SearchEffort(knob, value),
            threads: threads
        )
        self.recalls = truth.recalls(of: self.answers)
    }

    /// Mean microseconds per query, one thread.
    var micros: Double { self.answers.reduce(0) { $0 + $1.nanos } / 1_000 / Double(self.answers.count) }

    /// Items read by a query, on average; nil where FAISS searched.
    var itemsRead: Double? {
        let reads = self.answers.compactMap(\.read)
        return reads.count == self.answers.count ? Double(reads.reduce(0, +)) / Double(max(1, reads.count)) : nil
    }
}
