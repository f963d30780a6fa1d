package import AnnexCore
import AnnexIndex
import Dispatch

/// Measures several kinds over the rows of one version, each at every step of its search parameter, for an operator to
/// choose from.
package struct Tuning {
    package struct Point: Encodable, Sendable {
        package var kind: String
        package var knob: String
        package var value: Double
        package var recall: Double
        package var worst: Double
        package var neverReturned: Int
        /// Mean microseconds per query, one thread.
        package var micros: Double
        package var bytesPerItem: Double
        package var buildSeconds: Double
        /// No other point has at least this recall in less time.
        package var isPareto = false
    }

    private let vectors: VectorFile
    private let metric: Metric
    private let seed: UInt64
    private let threads: Int
    private let queries: HeldOutQueries
    private let truth: RecallTruth
    package let manifest: Manifest
    package var queryCount: Int { self.queries.count }
    package var queryKind: String { self.queries.kind }

    /// Takes rows and users of a version that lies in `folder`, and computes the exact answers. Nothing is written there.
    package init(folder: String, limit: Int, seed: UInt64, threads: Int) throws(AnnexError) {
        let manifest = try Verifier.manifest(folder)
        guard let metric = Metric(rawValue: manifest.metric) else {
            let hint = "Build the version again, or `annctl rollback`"
            throw AnnexError(
                .damaged,
                "has an impossible metric",
                at: folder + "/" + VersionLayout.manifest,
                hint: hint
            )
        }
        self.manifest = manifest
        self.metric = metric
        self.seed = seed
        self.threads = threads
        self.vectors = try VectorFile(
            path: folder + "/" + VersionLayout.vectors,
            rows: manifest.items,
            dimension: manifest.storedDimension
        )
        self.queries = try IndexBenchmark.queries(nil, manifest, folder, self.vectors, limit: limit, seed: seed)
        let layout = try ScanBuilder(vectors: self.vectors, metric: metric, threads: threads).ordered()
        self.truth = try RecallTruth(
            self.queries,
            k: 10,
            searcher: Searcher(index: nil, layout: layout, vectors: self.vectors, metric: metric),
            vectors: self.vectors,
            metric: metric,
            threads: threads
        ) { _ in }
    }

    /// Returns the kinds that `auto` would try, and more: clusters of several numbers, graphs of two degrees.
    package func defaultKinds() throws(AnnexError) -> [IndexKind] {
        var names = ["Flat"]
        let root = Double(self.manifest.items).squareRoot()
        if self.manifest.items > 2_000 {
            for lists in [root / 6, root / 3, root, root * 2] where lists >= 4 {
                names.append("IVF\(Recipe.powerOfTwo(near: lists)),SQ8")
            }
            if self.metric != .ip, self.manifest.items <= 2_000_000 { names += ["HNSW16", "HNSW32"] }
        }
        var kinds: [IndexKind] = []
        for name in names { kinds.append(try IndexKind(parsing: name)) }
        return kinds
    }

    /// Builds one kind in memory and measures it, one thread, at each step until every query is answered exactly.
    package func measure(_ kind: IndexKind) throws(AnnexError) -> [Point] {
        let begin = DispatchTime.now().uptimeNanoseconds
        let index = try VectorIndex.build(
            kind: kind,
            metric: self.metric,
            vectors: self.vectors,
            seed: self.seed,
            threads: self.threads
        ) { _ in }
        let (layout, _) = try index.scanLayout(vectors: self.vectors, threads: self.threads)
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e9
        let searcher = Searcher(index: index, layout: layout, vectors: self.vectors, metric: self.metric)
        let knob = kind.knob(self.metric, withCodes: true)
        var points: [Point] = []
        for value in RecallMeasurement.ladder(kind, knob, rows: self.vectors.rows) {
            let rows = self.vectors.rows
            let step = try LadderStep(
                value,
                of: knob,
                self.queries,
                self.truth,
                searcher: searcher,
                rows: rows,
                threads: 1
            )
            let recall = step.recalls.reduce(0, +) / Double(step.recalls.count)
            points.append(
                Point(
                    kind: kind.description,
                    knob: step.knob,
                    value: value,
                    recall: recall,
                    worst: step.recalls.min() ?? 0,
                    neverReturned: self.truth.neverReturned(by: step.answers),
                    micros: step.micros,
                    bytesPerItem: Double(layout.byteCount) / Double(layout.rows),
                    buildSeconds: seconds
                )
            )
            if recall >= 0.99995 { break }
        }
        return points
    }

    /// Marks the points that nothing beats in both recall and time. O(points²).
    package static func marked(_ points: [Point]) -> [Point] {
        points.map { point in
            var point = point
            point.isPareto = !points.contains { other in
                other.recall >= point.recall && other.micros < point.micros
            }
            return point
        }
    }
}
