import AnnexCore
import AnnexIndex

/// Measures how much effort it takes where queries leave out what is best for them, as they do when users have seen it.
///
/// The items that then come first stand among many that score about as well, so that the effort that is enough without
/// exclusions finds less of them (Gowalla at kappa 0.5: 0.992 of the ten best, 0.964 of those behind the first
/// hundred).
struct ExclusionMeasurement {
    /// Each query leaves out at most so many of its best items.
    static let mostLeftOut = 100
    /// The most held-out queries that are asked. 2,000 tell a recall of 0.99 to within 0.001.
    static let mostQueries = 2_000

    let queries: HeldOutQueries
    let kind: IndexKind
    let metric: Metric
    let searcher: Searcher
    let vectors: VectorFile
    let threads: Int

    /// Climbs the ladder from `start` on until the lower bound reaches `target`. Where no step does, or where it reads
    /// so much that an exact search is cheaper, the answer is `exact`. Returns nil where there are too few items to
    /// leave any out.
    ///
    /// - Throws: `.system` where the exact search is found wrong.
    func run(target: Double, from start: Double, seed: UInt64) throws(AnnexError) -> Manifest.LeavingOut? {
        let count = min(Self.mostLeftOut, DefaultEffort.mostLeftOut(of: self.vectors.rows))
        let rows = self.vectors.rows
        guard count > 0 else { return nil }
        let queries = self.queries.sample(Self.mostQueries, seed: seed)
        let (leftOut, truth) = try RecallTruth(
            queries,
            k: count + min(10, rows - count),
            searcher: self.searcher,
            vectors: self.vectors,
            metric: self.metric,
            threads: self.threads
        ) { _ in }
        .leavingOut(count)
        let knob = self.kind.knob(self.metric, withCodes: true)
        var point: Manifest.OperatingPoint?
        for value in RecallMeasurement.ladder(self.kind, knob, rows: rows) where value >= start {
            let step = try LadderStep(
                value,
                of: knob,
                queries,
                truth,
                searcher: self.searcher,
                rows: rows,
                threads: self.threads,
                excluding: .given(leftOut, each: count)
            )
            let measured = step.point(of: step.recalls)
            point = measured
            if measured.recallLowerBound >= target { break }
        }
        if let found = point, found.recallLowerBound < target || self.cost(found) >= truth.itemsRead ?? Double(rows) {
            point = Manifest.OperatingPoint(
                knob: "exact",
                value: 0,
                recall: 1,
                recallLowerBound: 1,
                worst: 1,
                itemsRead: truth.itemsRead?.rounded()
            )
        }
        return point.map { Manifest.LeavingOut(items: count, queryCount: queries.count, point: $0) }
    }

    /// A walk jumps from item to item: one of them costs about as much as 8 in a scan (28 against 3.5 ns on Gowalla).
    private static let scannedPerWalked = 8.0

    /// Returns the cost in items of a scan.
    private func cost(_ point: Manifest.OperatingPoint) -> Double {
        (point.itemsRead ?? 0) * (point.knob == IndexKind.Knob.efSearch.rawValue ? Self.scannedPerWalked : 1)
    }
}
