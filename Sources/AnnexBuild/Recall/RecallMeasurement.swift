import AnnexCore
import AnnexIndex

/// Measures how well an index answers held-out queries, step by step of its search parameter.
struct RecallMeasurement {
    let queries: HeldOutQueries
    let kind: IndexKind
    let metric: Metric
    let searcher: Searcher
    let vectors: VectorFile
    let threads: Int

    struct Outcome {
        var measured: Manifest.Measured
        /// Mean microseconds per query, one thread, in the order of the table.
        var micros: [Double]
        let truth: RecallTruth
        /// A step that does not reach the target takes longer than anything that would do: the last one in the table.
        var isGivenUp = false
    }

    /// Climbs the ladder until the lower bound on the first half reaches `target`, then reports the second half.
    ///
    /// - Parameters:
    ///   - shared: what another index's exact search found for the same queries; this one's must find the same for some.
    ///   - slowest: microseconds above which a step that does not reach the target ends the climb, as more effort only
    ///     takes longer.
    ///
    /// The bound is the normal one over the queries' recalls, one-sided: mean − 1.645 × standard error. On a half where
    /// every query found everything it is 1, however few queries there are.
    /// - Throws: `.recall` with the table where no step reaches it.
    func run(
        target: Double,
        links: LinkCounts?,
        sharing shared: RecallTruth? = nil,
        slowest: Double = .infinity,
        progress: (Double) -> Void
    ) throws(AnnexError) -> Outcome {
        let truth = try self.truth(shared) { progress($0 * 0.5) }
        var table: [Manifest.OperatingPoint] = []
        var micros: [Double] = []
        let knob = self.kind.knob(self.metric, withCodes: true)
        let ladder = Self.ladder(self.kind, knob, rows: self.vectors.rows)
        for (number, value) in ladder.enumerated() {
            let step = try self.step(value, of: knob, truth, isOwn: shared == nil)
            let choosing = step.recalls.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
            let chosen = step.point(of: choosing)
            table.append(chosen)
            micros.append(step.micros)
            progress(0.5 + 0.5 * Double(number + 1) / Double(ladder.count))
            let isReached = chosen.recallLowerBound >= target
            guard isReached || step.micros > slowest else { continue }
            let other = step.recalls.enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
            return Outcome(
                measured: self.measured(
                    target,
                    chosen,
                    other.isEmpty ? choosing : other,
                    table,
                    links,
                    truth,
                    step.answers
                ),
                micros: micros,
                truth: truth,
                isGivenUp: !isReached
            )
        }
        throw AnnexError(
            .recall,
            "recall@10 on \(self.queries.kind) does not reach \(target):\n" + Self.text(table),
            hint: "Take another index kind, more lists or links, or a lower --recall"
        )
    }

    private func truth(_ shared: RecallTruth?, progress: (Double) -> Void) throws(AnnexError) -> RecallTruth {
        if let shared {
            try shared.confirm(self.queries, by: self.searcher, rows: self.vectors.rows, threads: self.threads)
            return shared
        }
        return try RecallTruth(
            self.queries,
            k: 10,
            searcher: self.searcher,
            vectors: self.vectors,
            metric: self.metric,
            threads: self.threads,
            progress: progress
        )
    }

    private func step(
        _ value: Double,
        of knob: IndexKind.Knob?,
        _ truth: RecallTruth,
        isOwn: Bool
    ) throws(AnnexError) -> LadderStep {
        if knob == nil, isOwn { return LadderStep(exact: truth) }
        return try LadderStep(
            value,
            of: knob,
            self.queries,
            truth,
            searcher: self.searcher,
            rows: self.vectors.rows,
            threads: self.threads
        )
    }

    private func measured(
        _ target: Double,
        _ chosen: Manifest.OperatingPoint,
        _ reporting: [Double],
        _ table: [Manifest.OperatingPoint],
        _ links: LinkCounts?,
        _ truth: RecallTruth,
        _ answers: [QueryRun.Answer]
    ) -> Manifest.Measured {
        Manifest.Measured(
            queries: self.queries.kind,
            queryCount: self.queries.count,
            target: target,
            chosen: chosen,
            reportedRecall: LadderStep.rounded(LadderStep.mean(reporting)),
            reportedWorst: LadderStep.rounded(reporting.min() ?? 0),
            table: table,
            unreachableItems: links?.unreachable,
            linksAdded: links?.added,
            itemsLookedFor: links?.looks?.tried,
            itemsMissed: links?.looks?.missed,
            bridgesAdded: links?.looks?.bridges,
            itemsInTruth: Set(truth.ordinals).count,
            itemsNeverReturned: truth.neverReturned(by: answers)
        )
    }

    static func text(_ table: [Manifest.OperatingPoint]) -> String {
        table.map {
            "  \($0.knob) \($0.valueText): recall \($0.recall), lower bound \($0.recallLowerBound), "
                + "worst query \($0.worst)"
        }
        .joined(separator: "\n")
    }

    /// Values ascend; the last step of an inverted file reads every list, or as many as a query may.
    static func ladder(_ kind: IndexKind, _ knob: IndexKind.Knob?, rows: Int) -> [Double] {
        switch (kind.family, knob) {
        case (_, .kappa): [0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1]
        case (.hnsw, _):
            [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1_024, 2_048, 4_096]
                .filter { $0 <= Double(max(16, rows)) }
        case (.ivf(let lists), _): Self.listLadder(upTo: min(lists, Limits.maximumNprobe))
        case (.flat, _): [0]
        }
    }

    /// Returns 1, 2, 3, 4, 6, 8, 12 … and all.
    private static func listLadder(upTo lists: Int) -> [Double] {
        var steps: [Int] = [1]
        var power = 2
        while power < lists {
            steps.append(power)
            if power / 2 * 3 < lists { steps.append(power / 2 * 3) }
            power *= 2
        }
        if lists > 1 { steps.append(lists) }
        return steps.map(Double.init)
    }
}
