import AnnexCore
import AnnexIndex
import Dispatch

/// Holds an index of one kind that was built and measured, and may be published.
struct IndexCandidate {
    let index: VectorIndex
    let layout: ScanLayout
    /// Holds what was measured on users where there are some, else on items.
    let outcome: RecallMeasurement.Outcome
    /// Holds what was measured on items, where `outcome` is on users.
    let onItems: RecallMeasurement.Outcome?
    var seconds: [(BuildProgress.Stage, Double)]
    /// Holds what was measured on users who leave out their best items. Only the winner has it.
    var leavingOut: Manifest.LeavingOut?

    var kind: IndexKind { self.index.kind }
    /// Counts microseconds per query at the chosen point, one thread.
    var micros: Double { self.outcome.micros.last ?? 0 }
    /// Counts bytes that the index holds for each item, beside the float32 rows.
    var bytesPerItem: Double { Double(self.layout.byteCount) / Double(self.layout.rows) }

    var summary: Manifest.Candidate {
        let point = self.outcome.measured.chosen
        return Manifest.Candidate(
            kind: self.kind.description,
            knob: point.knob,
            value: self.outcome.isGivenUp ? nil : point.value,
            recall: self.outcome.isGivenUp ? nil : self.outcome.measured.reportedRecall,
            bytesPerItem: (self.bytesPerItem * 10).rounded() / 10
        )
    }
}

/// Builds and measures candidates of one build.
struct CandidateBuilder {
    let metric: Metric
    let target: Double
    let seed: UInt64
    let threads: Int
    let vectors: VectorFile
    let users: HeldOutQueries?
    /// Tells whether the last component of a row is a bias.
    let isBiased: Bool
    let progress: (BuildProgress.Stage, Double) -> Void

    /// Says which of several kinds won, and why.
    struct Choice {
        var winner: IndexCandidate
        /// Lists candidates in the order in which they were tried.
        var tried: [Manifest.Candidate]
        var micros: [Double]
    }

    /// Builds each kind in turn and keeps the one that answers fastest; one that comes later must be a tenth faster, as
    /// the simpler ones come first. A kind that does not reach the target is out, and so is one that takes a quarter longer
    /// than the fastest while it is still below the target.
    ///
    /// What is exact is computed by the first, and confirmed on some queries by each of the others.
    ///
    /// - Throws: the last kind's error where none can be built or reaches the target.
    func best(of kinds: [IndexKind]) throws(AnnexError) -> Choice {
        var winner: IndexCandidate?
        var choice: (tried: [Manifest.Candidate], micros: [Double]) = ([], [])
        var truths: Truths = (nil, nil)
        var failure = AnnexError(.usage, "there is no kind to build")
        for kind in kinds {
            do throws(AnnexError) {
                let candidate = try self.build(kind, truths, slowest: 1.25 * (winner?.micros ?? .infinity))
                truths = (candidate.outcome.truth, candidate.onItems?.truth ?? truths.onItems)
                choice.tried.append(candidate.summary)
                choice.micros.append(candidate.micros)
                if !candidate.outcome.isGivenUp, candidate.micros < 0.9 * (winner?.micros ?? .infinity) {
                    winner = candidate
                }
            } catch {
                guard kinds.count > 1, error.code == .recall || error.code == .usage else { throw error }
                failure = error
            }
        }
        guard var winner else { throw failure }
        try self.measureLeavingOut(&winner)
        return Choice(winner: winner, tried: choice.tried, micros: choice.micros)
    }

    /// Exact answers for the queries of `outcome` and of `onItems`.
    private typealias Truths = (main: RecallTruth?, onItems: RecallTruth?)

    private func build(_ kind: IndexKind, _ truths: Truths, slowest: Double) throws(AnnexError) -> IndexCandidate {
        var seconds: [(BuildProgress.Stage, Double)] = []
        func timed<R>(_ stage: BuildProgress.Stage, _ body: () throws(AnnexError) -> R) throws(AnnexError) -> R {
            let begin = DispatchTime.now().uptimeNanoseconds
            self.progress(stage, 0)
            let result = try body()
            self.progress(stage, 1)
            seconds.append((stage, Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e9))
            return result
        }
        let index = try timed(.index) { () throws(AnnexError) in
            try VectorIndex.build(
                kind: kind,
                metric: self.metric,
                vectors: self.vectors,
                seed: self.seed,
                threads: self.threads
            ) { self.progress(.index, $0) }
        }
        let (layout, links) = try timed(.layout) { () throws(AnnexError) in
            try index.scanLayout(vectors: self.vectors, threads: self.threads)
        }
        let (outcome, onItems) = try timed(.recall) { () throws(AnnexError) in
            try self.measure(index, layout, links, truths, slowest: slowest)
        }
        return IndexCandidate(index: index, layout: layout, outcome: outcome, onItems: onItems, seconds: seconds)
    }

    private func measureLeavingOut(_ candidate: inout IndexCandidate) throws(AnnexError) {
        guard let users else { return }
        let begin = DispatchTime.now().uptimeNanoseconds
        candidate.leavingOut = try ExclusionMeasurement(
            queries: users,
            kind: candidate.kind,
            metric: self.metric,
            searcher: Searcher(
                index: candidate.index,
                layout: candidate.layout,
                vectors: self.vectors,
                metric: self.metric
            ),
            vectors: self.vectors,
            threads: self.threads
        )
        .run(target: self.target, from: candidate.outcome.measured.chosen.value, seed: self.seed)
        candidate.seconds.append((.recall, Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e9))
    }

    /// Measures on users where there are some, then on items: the two kinds of query that clients send.
    private func measure(
        _ index: VectorIndex,
        _ layout: ScanLayout,
        _ links: LinkCounts?,
        _ truths: Truths,
        slowest: Double
    ) throws(AnnexError) -> (RecallMeasurement.Outcome, RecallMeasurement.Outcome?) {
        let searcher = Searcher(index: index, layout: layout, vectors: self.vectors, metric: self.metric)
        func run(
            _ queries: HeldOutQueries,
            _ truth: RecallTruth?,
            slowest: Double,
            _ part: Range<Double>
        ) throws(AnnexError) -> RecallMeasurement.Outcome {
            try RecallMeasurement(
                queries: queries,
                kind: index.kind,
                metric: self.metric,
                searcher: searcher,
                vectors: self.vectors,
                threads: self.threads
            )
            .run(target: self.target, links: links, sharing: truth, slowest: slowest) {
                self.progress(.recall, part.lowerBound + $0 * (part.upperBound - part.lowerBound))
            }
        }
        let count = HeldOutQueries.count(
            items: self.vectors.rows,
            dimension: self.vectors.dimension,
            metric: self.metric
        )
        let items = HeldOutQueries.items(self.vectors, count: count, seed: self.seed, isBiased: self.isBiased)
        guard let users else { return (try run(items, truths.main, slowest: slowest, 0..<1), nil) }
        let onUsers = try run(users, truths.main, slowest: slowest, 0..<0.5)
        // The time that a query for items takes decides nothing.
        return (onUsers, onUsers.isGivenUp ? nil : try run(items, truths.onItems, slowest: .infinity, 0.5..<1))
    }
}
