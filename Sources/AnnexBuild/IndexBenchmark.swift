package import AnnexCore
import AnnexFormats
import AnnexIndex
import AnnexStore
import Foundation

/// Searches a version in this process, without a server, and measures recall beside speed at several efforts.
package struct IndexBenchmark {
    /// Holds the figures of one effort.
    package struct Line: Encodable, Sendable {
        package var effort: String
        /// Mean over the queries, and the worst one.
        package var recall: Double
        package var worst: Double
        /// Counts the queries with a recall below one half.
        package var below: Int
        /// Counts items in somebody's exact top k that no query got.
        package var neverReturned: Int
        /// Counts microseconds over all rounds together.
        package var p50: Double
        package var p90: Double
        package var p99: Double
        package var p999: Double
        /// Says how many queries one thread answers: 1 / mean time; the median of the rounds.
        package var queriesPerSecond: Double
        /// Counts items whose codes or vectors a query read, on average. It is nil where FAISS searched.
        package var itemsRead: Double?
        /// Counts microseconds at the median of the same searches with nothing left out, though as much is marked
        /// between them: `p50` compares with that. It is nil where nothing is left out.
        package var p50LeavingNothingOut: Double?
    }

    package let manifest: Manifest
    /// Counts bytes of codes, or of what FAISS holds, per item.
    package let bytesPerItem: Double
    package let queryCount: Int
    package let queryKind: String
    /// Counts the items in the exact top k of at least one query.
    package let itemsInTruth: Int
    private let queries: HeldOutQueries
    private let searcher: Searcher
    private let vectors: VectorFile
    private let truth: RecallTruth
    private let excluding: QueryRun.Exclusion

    package enum Queries { case users, items, file(String) }

    /// Loads the version and computes the exact answers, with `threads` cores. Files are not verified.
    ///
    /// - Parameters:
    ///   - usesFaiss: search as FAISS does, without codes.
    ///   - limit: at most so many queries.
    package init(
        folder: String,
        queries source: Queries?,
        limit: Int,
        k: Int,
        usesFaiss: Bool,
        excluding: QueryRun.Exclusion,
        seed: UInt64,
        threads: Int
    ) throws(AnnexError) {
        let manifest = try Verifier.manifest(folder)
        guard let kind = manifest.parsedKind, let metric = Metric(rawValue: manifest.metric) else {
            let hint = "Build the version again, or `annctl rollback`"
            throw AnnexError(.damaged, "has impossible values", at: folder + "/" + VersionLayout.manifest, hint: hint)
        }
        let vectors = try VectorFile(
            path: folder + "/" + VersionLayout.vectors,
            rows: manifest.items,
            dimension: manifest.storedDimension
        )
        let layout =
            try usesFaiss
            ? nil
            : ScanLayout.load(
                path: folder + "/" + VersionLayout.serving,
                metric: metric,
                rows: manifest.items,
                dimension: manifest.storedDimension
            )
        let faiss =
            try layout?.needsFaiss(kind) == false
            ? nil
            : VectorIndex.load(
                path: folder + "/" + VersionLayout.index,
                kind: kind,
                metric: metric,
                dimension: manifest.storedDimension,
                rows: manifest.items
            )
        self.queries = try Self.queries(source, manifest, folder, vectors, limit: limit, seed: seed)
        self.manifest = manifest
        self.excluding = excluding
        self.vectors = vectors
        self.searcher = Searcher(index: faiss, layout: layout, vectors: vectors, metric: metric)
        self.truth = try RecallTruth(
            self.queries,
            k: k,
            searcher: self.searcher,
            vectors: vectors,
            metric: metric,
            threads: threads,
            excluding: excluding
        ) { _ in }
        self.bytesPerItem =
            Double(layout?.byteCount ?? Self.size(folder + "/" + VersionLayout.index))
            / Double(manifest.items)
        self.queryCount = self.queries.count
        self.queryKind = self.queries.kind
        self.itemsInTruth = Set(self.truth.ordinals).count
    }

    private static func size(_ path: String) -> Int { (try? FileMark(path).bytes) ?? 0 }

    static func queries(
        _ source: Queries?,
        _ manifest: Manifest,
        _ folder: String,
        _ vectors: VectorFile,
        limit: Int,
        seed: UInt64
    ) throws(AnnexError) -> HeldOutQueries {
        let isBiased = manifest.bias != nil
        let all: HeldOutQueries
        switch source ?? (manifest.users > 0 ? .users : .items) {
        case .items:
            let count = min(limit, HeldOutQueries.maximumCount)
            all = .items(vectors, count: count, seed: seed, isBiased: isBiased)
        case .users:
            guard manifest.users > 0 else {
                throw AnnexError(.usage, "the version has no users", hint: "Give --queries items, or a file of vectors")
            }
            let store = try UserStore(folder: folder + "/" + VersionLayout.users, dimension: manifest.storedDimension)
            var values: [Float] = []
            try store.appendVectors(to: &values)
            all = .users(values, dimension: manifest.storedDimension, isBiased: isBiased)
        case .file(let path):
            let reader = try FactorSource(path).open(skipBadRows: false)
            guard reader.dimension == manifest.dimension else {
                throw AnnexError(
                    .badInput,
                    "the vectors have \(reader.dimension) dimensions, the index \(manifest.dimension)",
                    at: path,
                    hint: "Give vectors of the model that the index was built from"
                )
            }
            var values: [Float] = []
            var block = RowBlock()
            while try reader.next(&block) {
                for row in 0..<block.count {
                    values += block.values[row * reader.dimension..<(row + 1) * reader.dimension]
                    if isBiased { values.append(ModelBias.plainComponent) }
                }
            }
            all = HeldOutQueries(vectors: values, dimension: manifest.storedDimension, kind: path)
        }
        guard all.count > 0 else {
            throw AnnexError(.badInput, "there are no queries", hint: "Give --queries a file that has a row")
        }
        return all.sample(limit, seed: seed)
    }

    /// Runs all queries `rounds` times at one effort, one at a time on one thread.
    package func measure(_ effort: SearchEffort, name: String, rounds: Int) throws(AnnexError) -> Line {
        var nanos: [Double] = []
        var means: [Double] = []
        var last: [QueryRun.Answer] = []
        var plain: [Double] = []
        for _ in 0..<max(1, rounds) {
            last = try self.run(effort, heedsMarks: true)
            nanos += last.map(\.nanos)
            means.append(last.reduce(0) { $0 + $1.nanos } / Double(last.count))
            if case .nothing = self.excluding { continue }
            plain += try self.run(effort, heedsMarks: false).map(\.nanos)
        }
        nanos.sort()
        means.sort()
        plain.sort()
        let recalls = self.truth.recalls(of: last)
        func quantile(_ share: Double) -> Double {
            nanos[min(nanos.count - 1, Int(Double(nanos.count) * share))] / 1_000
        }
        return Line(
            effort: name,
            recall: recalls.reduce(0, +) / Double(recalls.count),
            worst: recalls.min() ?? 0,
            below: recalls.count { $0 < 0.5 },
            neverReturned: self.truth.neverReturned(by: last),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            queriesPerSecond: 1e9 / means[means.count / 2],
            itemsRead: QueryRun.itemsRead(last),
            p50LeavingNothingOut: plain.isEmpty ? nil : plain[plain.count / 2] / 1_000
        )
    }

    private func run(_ effort: SearchEffort, heedsMarks: Bool) throws(AnnexError) -> [QueryRun.Answer] {
        try QueryRun.all(
            self.queries,
            searcher: self.searcher,
            rows: self.vectors.rows,
            k: self.truth.k,
            effort: effort,
            threads: 1,
            excluding: self.excluding,
            heedsMarks: heedsMarks
        )
    }
}
