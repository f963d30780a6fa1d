package import AnnexCore
import CFaissShim

/// Holds an index of FAISS. Once built or loaded it does not change, and any number of threads may search it.
///
/// On `cosine` FAISS sees normalised rows and the metric inner product; this class normalises rows and queries.
package final class VectorIndex: Sendable {
    package let kind: IndexKind
    package let metric: Metric
    /// Counts the components of a row as given.
    package let dimension: Int
    package let rows: Int
    private let handle: FaissHandle
    /// Says how to walk the graph. It is nil without one.
    let walk: GraphWalk?

    private init(kind: IndexKind, metric: Metric, dimension: Int, rows: Int, handle: FaissHandle) {
        self.kind = kind
        self.metric = metric
        self.dimension = dimension
        self.rows = rows
        self.handle = handle
        self.walk = GraphWalk(handle)
    }

    // MARK: Building

    /// So many rows are copied, normalised and added to FAISS at a time.
    private static let blockRows = 16_384

    /// Makes, trains and fills an index from the rows of `vectors`. Blocks; uses `threads` cores.
    ///
    /// The same rows, kind, metric and seed give the same index, bit for bit, with one thread.
    /// - Throws: `.usage` where the kind does not fit the data (fewer rows than lists, segments that do not divide the
    ///   dimension); `.badInput` for a row with which FAISS cannot compute; `.system` with FAISS's own words.
    package static func build(
        kind: IndexKind,
        metric: Metric,
        vectors: VectorFile,
        seed: UInt64,
        threads: Int,
        progress: (Double) -> Void
    ) throws(AnnexError) -> VectorIndex {
        try kind.check(dimension: vectors.dimension, rows: vectors.rows)
        precondition((1...1_024).contains(threads), "unchecked thread count")
        try Self.checkLengths(vectors)
        let handle = try FaissHandle.make(
            kind: kind,
            dimension: vectors.dimension,
            isL2: metric == .l2,
            seed: seed
        )
        let sample = Self.trainingSample(kind: kind, rows: vectors.rows, seed: seed)
        if !sample.isEmpty {
            try handle.train(
                Self.copy(vectors, sample.lazy.map { $0 }, metric),
                count: sample.count,
                threads: threads
            )
        }
        progress(0.05)
        // A graph is built over 8-bit codes: a quarter of the memory traffic, in this project's own kernels.
        let codes: ScanLayout? =
            if case .hnsw = kind.family {
                try ScanBuilder(vectors: vectors, metric: metric, threads: threads).rowCodes()
            } else { nil }
        var first = 0
        while first < vectors.rows {
            let block = first..<min(first + Self.blockRows, vectors.rows)
            let rows = Self.copy(vectors, block, metric)
            try handle.add(rows, count: block.count, codes: codes, threads: threads)
            first = block.upperBound
            progress(0.05 + 0.95 * Double(first) / Double(vectors.rows))
        }
        return VectorIndex(
            kind: kind,
            metric: metric,
            dimension: vectors.dimension,
            rows: vectors.rows,
            handle: handle
        )
    }

    /// FAISS ends the process where a distance is infinite or no number.
    private static func checkLengths(_ vectors: VectorFile) throws(AnnexError) {
        let bounds = VectorFile.boundedLengths
        guard let row = (0..<vectors.rows).first(where: { !vectors.isBounded($0) }) else { return }
        throw AnnexError(
            .badInput,
            "row \(row) has the length \(vectors.norm(row)), outside \(bounds.lowerBound) to \(bounds.upperBound)",
            hint: "Scale all vectors by the same factor"
        )
    }

    /// Returns the numbers of the rows to train on, ascending. There are none where the kind needs no training.
    private static func trainingSample(kind: IndexKind, rows: Int, seed: UInt64) -> [Int] {
        var wanted = 0
        if case .ivf(let lists) = kind.family { wanted = min(lists * 256, max(lists * 64, 262_144)) }
        if case .pq = kind.storage { wanted = max(wanted, 65_536) }
        if kind.storage == .sq8 { wanted = max(wanted, 100_000) }
        if kind.transform != nil { wanted = max(wanted, 65_536) }
        guard wanted > 0 else { return [] }
        if wanted >= rows { return Array(0..<rows) }
        // Selection sampling (Knuth, volume 2, algorithm S) gives ascending rows, each subset as likely.
        var random = SeededRandom(seed: seed)
        var chosen: [Int] = []
        chosen.reserveCapacity(wanted)
        for row in 0..<rows where random.below(rows - row) < wanted - chosen.count { chosen.append(row) }
        return chosen
    }

    /// Copies rows one behind the other, without padding, and normalises them on cosine.
    private static func copy(_ vectors: VectorFile, _ rows: some Sequence<Int>, _ metric: Metric) -> [Float] {
        var out: [Float] = []
        for row in rows {
            let norm = vectors.norm(row)
            let scale = metric == .cosine && norm > 0 ? 1 / norm : 1
            vectors.withRow(row) { values in
                for index in values.indices { out.append(values[index] * scale) }
            }
        }
        return out
    }

    // MARK: Files

    /// Reads `index.faiss` and checks that it is what the manifest says, and that no link or list leads out of bounds.
    ///
    /// FAISS is no validator: the caller has compared the file's SHA-256 first.
    package static func load(
        path: String,
        kind: IndexKind,
        metric: Metric,
        dimension: Int,
        rows: Int
    ) throws(AnnexError) -> VectorIndex {
        let handle = try FaissHandle.read(path)
        func damaged(_ what: String) -> AnnexError {
            AnnexError(.damaged, what, at: path, hint: "Run `annctl verify`; build again or roll back")
        }
        guard handle.dimension == dimension else {
            throw damaged("has dimension \(handle.dimension), the manifest says \(dimension)")
        }
        guard handle.count == rows else { throw damaged("has \(handle.count) items, the manifest says \(rows)") }
        guard handle.isL2 == (metric == .l2) else { throw damaged("has another metric than the manifest says") }
        guard handle.holds(kind) else { throw damaged("is not the \(kind) that the manifest says") }
        if let problem = handle.structuralProblem() { throw damaged(problem) }
        return VectorIndex(kind: kind, metric: metric, dimension: dimension, rows: rows, handle: handle)
    }

    /// Writes FAISS's own format, readable by any FAISS. The caller flushes it to the disk.
    package func write(path: String) throws(AnnexError) { try self.handle.write(path) }

    // MARK: Searching

    /// Returns how many candidates to ask for so that exact rescoring can mend what lossy codes put in the wrong order.
    package func candidateCount(forK k: Int) -> Int {
        let lossy = self.kind.storage != .flat || self.kind.transform != nil
        return min(self.rows, lossy ? max(4 * k, k + 64) : k)
    }

    /// Searches Flat and IVF only. Writes up to `count` ordinals, none excluded, FAISS's best first, to
    /// `scratch.ordinals`; returns their number.
    ///
    /// - Parameters:
    ///   - query: `dimension` finite floats.
    ///   - count: 1 to `rows`.
    ///   - effort: lowered to the number of lists for an inverted file.
    package func candidates(
        query: UnsafeBufferPointer<Float>,
        queryNorm: Float,
        count: Int,
        effort: SearchEffort,
        exclusion: borrowing ExclusionMarks,
        scratch: inout SearchScratch
    ) throws(AnnexError) -> Int {
        precondition(query.count == self.dimension && count >= 1 && count <= self.rows, "unchecked arguments")
        scratch.reserve(candidates: count)
        scratch.query.removeAll(keepingCapacity: true)
        let scale = self.metric == .cosine && queryNorm > 0 ? 1 / queryNorm : 1
        for index in query.indices { scratch.query.append(unsafe query[index] * scale) }
        let problem = unsafe exclusion.withMarks { marks in
            unsafe self.handle.search(
                scratch.query,
                count,
                self.clamped(effort, count),
                marks,
                exclusion.epoch,
                &scratch.distances,
                &scratch.ordinals
            )
        }
        if let problem { throw problem }
        var found = 0
        for index in 0..<count {
            let ordinal = scratch.ordinals[index]
            guard ordinal >= 0, ordinal < self.rows else { continue }
            scratch.ordinals[found] = ordinal
            found += 1
        }
        return found
    }

    private func clamped(_ effort: SearchEffort, _ count: Int) -> Int {
        switch (effort, self.kind.family) {
        case (.nprobe(let nprobe), .ivf(let lists)): max(1, min(nprobe, lists))
        case (_, .ivf(let lists)): lists
        case (_, .hnsw), (_, .flat): 1
        }
    }

    /// Tells whether a walk would look at about as many items as there are to choose from: a scan is then cheaper, and
    /// exact.
    func walkIsDearerThanScan(ef: Int, eligible: Int) -> Bool {
        guard case .hnsw(let links) = self.kind.family else { return false }
        return ef * links >= eligible
    }

    /// `efSearch` of a walk: at least k; 64 where the effort is meant for another kind.
    func walkWidth(_ effort: SearchEffort, k: Int) -> Int {
        if case .efSearch(let ef) = effort { max(1, k, min(ef, Limits.maximumEfSearch)) } else { max(k, 64) }
    }

    // MARK: The graph

    /// Returns the highest level of the graph, counted from 0. It is nil without a graph.
    package var maximumLevel: Int? { self.walk?.maximumLevel }

    /// Derives the scan layout from this index and the rows it was built of: the links of a graph, an order by the
    /// lists of an inverted file, or one order for all. O(rows × dimension); uses `threads` cores.
    ///
    /// A graph gets links to the items that no walk reaches; `links` counts them.
    package func scanLayout(
        vectors: VectorFile,
        threads: Int
    ) throws(AnnexError) -> (layout: ScanLayout, links: LinkCounts?) {
        let builder = ScanBuilder(vectors: vectors, metric: self.metric, threads: threads)
        if let walk {
            if case .hnsw(let links) = self.kind.family { try FormatLimits.check(items: self.rows, hnsw: links) }
            let levels = (0..<Int32(self.rows)).map { walk.levels(of: $0) }
            let (layout, links) = try builder.graph(LinkTable(rows: self.rows, links: walk.lowestLinks), levels: levels)
            return (layout, links)
        }
        guard self.kind.scansClusters(self.metric), case .ivf(let count) = self.kind.family,
            let lists = self.handle.lists()
        else { return (try builder.ordered(), nil) }
        return (try builder.clustered(lists: lists, count: count), nil)
    }

    /// Returns the neighbours of an item, top level first; nil without a graph or such an item.
    package func links(of ordinal: Int32) -> [[Int32]]? {
        guard ordinal >= 0, Int(ordinal) < self.rows else { return nil }
        return self.walk?.allLinks(of: ordinal)
    }
}

extension IndexKind {
    /// Refuses what FAISS would assert on or do badly.
    package func check(dimension: Int, rows: Int) throws(AnnexError) {
        func refuse(_ why: String, _ hint: String) -> AnnexError {
            AnnexError(.usage, "index kind \(self): \(why)", hint: hint)
        }
        if case .hnsw(let links) = self.family {
            try FormatLimits.check(items: rows, hnsw: links)
        } else {
            try FormatLimits.check(items: rows)
        }
        var width = dimension
        switch self.transform {
        case .pca(let d):
            guard d <= dimension else {
                throw refuse("the vectors have only \(dimension) dimensions", "Use PCA\(dimension) or less")
            }
            guard rows >= d else { throw refuse("\(rows) rows cannot train PCA\(d)", "Use fewer dimensions") }
            width = d
        case .opq(let segments, let d):
            width = d ?? dimension
            guard width <= dimension, width % segments == 0 else {
                throw refuse(
                    "\(segments) segments do not divide \(width) dimensions",
                    "Choose m so that it divides the dimension"
                )
            }
            guard rows >= 256 else {
                throw refuse("OPQ needs 256 rows to train, there are \(rows)", "Use HNSW or Flat")
            }
        case nil: break
        }
        if case .ivf(let lists) = self.family, lists > rows {
            throw refuse(
                "\(lists) lists for \(rows) rows",
                "Use at most \(rows) lists; \(max(1, rows / 40)) would be usual"
            )
        }
        if case .pq(let segments) = self.storage {
            guard width % segments == 0 else {
                throw refuse(
                    "\(segments) segments do not divide \(width) dimensions",
                    "Choose m so that it divides the dimension"
                )
            }
            guard rows >= 256 else { throw refuse("PQ needs 256 rows to train, there are \(rows)", "Use SQ8 or Flat") }
        }
    }
}
