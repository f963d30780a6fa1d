package import AnnexCore

package struct SearchReport: Equatable, Sendable {
    /// Counts candidates that were scored exactly.
    package var candidates: Int
    /// The index gave fewer items than there are: every item was scored instead.
    package var usedExactFallback: Bool
    /// Counts items whose codes or vectors were read. It is nil where FAISS searched.
    package var read: Int?
    /// The search has reached its limit: there are no hits, and what it has done was in vain.
    package var isUnfinished = false
}

/// A whole search: codes, a graph or FAISS propose candidates, `vectors.f32` gives each its exact score, the best k
/// remain.
///
/// A value of references; every thread may hold its own.
package struct Searcher: Sendable {
    private let index: VectorIndex?
    let layout: ScanLayout?
    let vectors: VectorFile
    let metric: Metric

    /// - Parameters:
    ///   - index: what FAISS holds; let go where `layout` can do without. With neither every search reads all of `vectors`.
    ///   - layout: what is scanned or walked over codes.
    package init(index: VectorIndex?, layout: ScanLayout?, vectors: VectorFile, metric: Metric) {
        let needsIndex = index.map { layout?.needsFaiss($0.kind) ?? true } ?? false
        self.index = needsIndex ? index : nil
        self.layout = layout
        self.vectors = vectors
        self.metric = metric
    }

    /// Fills `hits` with min(k, items not excluded) hits, best first, equal scores by ordinal: at every effort and whatever the
    /// rows are.
    ///
    /// Scores are float32. One differs from that of real numbers by at most (dimension / 32 + 16) 2⁻²⁴ × |q||x| on `ip`, × 1 on
    /// `cosine`, and × the distance itself on `l2`, and by dimension × 2⁻¹⁴⁹ on top (`cosine`: divided by |q||x|), where digits
    /// are lost below the smallest float32. That holds for rows and queries of length 0 or 1e-15 to 1e15; beyond, scores may
    /// overflow, and one that is no number ranks last. `.exact` gives the best k by these scores, with codes as without: no item
    /// that is left out is better by more than such an error.
    ///
    /// - Parameters:
    ///   - query: `dimension` finite floats; `queryNorm` their Euclidean norm.
    ///   - k: 1 to `Limits.maximumK`.
    ///   - limit: how far it may go; where that is too short the report says so. A scan of everything in place of what was
    ///     asked for is not begun where it might not end within the limit.
    package func search(
        query: Span<Float>,
        queryNorm: Float,
        k: Int,
        effort: SearchEffort,
        exclusion: borrowing ExclusionMarks,
        limit: SearchLimit = .none,
        scratch: inout SearchScratch,
        hits: inout [Hit]
    ) throws(AnnexError) -> SearchReport {
        unsafe try query.withUnsafeBufferPointer { query throws(AnnexError) in
            unsafe try self.search(query, queryNorm, k, effort, exclusion, limit, &scratch, &hits)
        }
    }

    private func search(
        _ query: UnsafeBufferPointer<Float>,
        _ queryNorm: Float,
        _ k: Int,
        _ effort: SearchEffort,
        _ exclusion: borrowing ExclusionMarks,
        _ limit: SearchLimit,
        _ scratch: inout SearchScratch,
        _ hits: inout [Hit]
    ) throws(AnnexError) -> SearchReport {
        precondition(k >= 1 && k <= Limits.maximumK && query.count == self.vectors.dimension, "unchecked arguments")
        let eligible = self.vectors.rows - exclusion.count
        let wanted = min(k, eligible)
        guard wanted > 0 else {
            hits.removeAll(keepingCapacity: true)
            return SearchReport(candidates: 0, usedExactFallback: false, read: 0)
        }
        var found: Int?
        scratch.read = nil
        scratch.scan.blocksRead = 0
        scratch.scan.begin(limit)
        switch effort {
        case .exact: break
        case .kappa(let kappa):
            found = unsafe self.scanCodes(query, queryNorm, wanted, .kappa(kappa), exclusion, &scratch, &hits)
        case .nprobe(let lists) where self.index == nil:
            found = unsafe self.scanCodes(query, queryNorm, wanted, .nearest(lists), exclusion, &scratch, &hits)
        case .efSearch(let ef) where self.layout?.isGraph == true:
            found = unsafe self.walkCodes(query, queryNorm, wanted, ef, exclusion, &scratch, &hits)
        case .efSearch, .nprobe:
            guard let index, index.kind.family != .flat else { break }
            if let walk = index.walk {
                let ef = index.walkWidth(effort, k: wanted)
                // A walk that would look at about all items: the scan is cheaper, and exact.
                guard !index.walkIsDearerThanScan(ef: ef, eligible: eligible) else { break }
                found = unsafe self.walk(walk, query, queryNorm, wanted, ef, exclusion, limit, &scratch, &hits)
            } else {
                found = unsafe try self.askFaiss(
                    index,
                    query,
                    queryNorm,
                    wanted,
                    effort,
                    exclusion,
                    &scratch,
                    &hits
                )
            }
        }
        if !scratch.scan.isUnfinished {
            if let found, found >= wanted {
                return SearchReport(candidates: found, usedExactFallback: false, read: scratch.read)
            }
            unsafe self.scanExactly(query, queryNorm, wanted, exclusion, limit, &scratch, &hits)
        }
        guard scratch.scan.isUnfinished else {
            return SearchReport(candidates: eligible, usedExactFallback: found != nil, read: scratch.read)
        }
        hits.removeAll(keepingCapacity: true)
        let read = scratch.read ?? scratch.scan.blocksRead * ScanShape.blockItems
        return SearchReport(candidates: 0, usedExactFallback: false, read: read, isUnfinished: true)
    }

    // MARK: The graph, FAISS

    /// Returns the number found.
    private func walk(
        _ walk: GraphWalk,
        _ query: UnsafeBufferPointer<Float>,
        _ queryNorm: Float,
        _ k: Int,
        _ ef: Int,
        _ exclusion: borrowing ExclusionMarks,
        _ limit: SearchLimit,
        _ scratch: inout SearchScratch,
        _ hits: inout [Hit]
    ) -> Int {
        scratch.scan.isUnfinished = unsafe !walk.search(
            query,
            queryNorm: queryNorm,
            ef: ef,
            vectors: self.vectors,
            metric: self.metric,
            exclusion: exclusion,
            limit: limit,
            scratch: &scratch
        )
        let found = scratch.pool.count
        scratch.read = scratch.visited.count
        scratch.pool.drain(into: &hits, limit: k)
        return found
    }

    /// Returns the number found.
    private func askFaiss(
        _ index: VectorIndex,
        _ query: UnsafeBufferPointer<Float>,
        _ queryNorm: Float,
        _ k: Int,
        _ effort: SearchEffort,
        _ exclusion: borrowing ExclusionMarks,
        _ scratch: inout SearchScratch,
        _ hits: inout [Hit]
    ) throws(AnnexError) -> Int {
        let found = unsafe try index.candidates(
            query: query,
            queryNorm: queryNorm,
            count: index.candidateCount(forK: k),
            effort: effort,
            exclusion: exclusion,
            scratch: &scratch
        )
        scratch.beginPool(k: k, metric: self.metric)
        for number in 0..<found {
            let ordinal = Int32(truncatingIfNeeded: scratch.ordinals[number])
            let score = unsafe self.vectors.score(query, queryNorm: queryNorm, ordinal, self.metric)
            scratch.pool.offer(Hit(ordinal: ordinal, score: score))
        }
        scratch.pool.drain(into: &hits)
        return found
    }

    // MARK: Exact

    /// Scores every item that could be among the k best. The scan is not begun where it might pass the limit: bounds
    /// may end it early, or not.
    private func scanExactly(
        _ query: UnsafeBufferPointer<Float>,
        _ queryNorm: Float,
        _ k: Int,
        _ exclusion: borrowing ExclusionMarks,
        _ limit: SearchLimit,
        _ scratch: inout SearchScratch,
        _ hits: inout [Hit]
    ) {
        if let layout, let codes = unsafe ScanQuery(query, layout, scratch.scan) {
            guard self.vectors.rows <= limit.codes else {
                scratch.scan.isUnfinished = true
                return
            }
            scratch.beginPool(k: k, metric: self.metric)
            // The search before has read some rows, and has its own share of the limit.
            scratch.scan.begin(SearchLimit(stop: limit.stop))
            unsafe layout.searchExactly(
                codes,
                original: query,
                queryNorm: queryNorm,
                vectors: self.vectors,
                clusters: .kappa(1),
                exclusion: exclusion,
                scratch: scratch.scan,
                pool: &scratch.pool
            )
            scratch.pool.drain(into: &hits)
            scratch.read = scratch.scan.blocksRead * ScanShape.blockItems
        } else {
            guard self.vectors.rows <= limit.rows else {
                scratch.scan.isUnfinished = true
                return
            }
            scratch.read = self.vectors.rows
            unsafe self.scan(query, queryNorm, k, exclusion, limit.stop, &scratch, &hits)
        }
    }

    /// Rows between two looks at the signal; a multiple of a block.
    private static let rowsPerLook = 4_096

    /// Scores every item, in blocks. O(rows × dimension).
    private func scan(
        _ query: UnsafeBufferPointer<Float>,
        _ queryNorm: Float,
        _ k: Int,
        _ exclusion: borrowing ExclusionMarks,
        _ stop: StopSignal?,
        _ scratch: inout SearchScratch,
        _ hits: inout [Hit]
    ) {
        scratch.beginPool(k: k, metric: self.metric)
        let anyExcluded = exclusion.count > 0
        var first = 0
        while first < self.vectors.rows {
            if let stop, first % Self.rowsPerLook == 0, stop.shouldStop() {
                scratch.scan.isUnfinished = true
                scratch.read = first
                return
            }
            let count = min(scratch.block.count, self.vectors.rows - first)
            unsafe scratch.block.withUnsafeMutableBufferPointer { block in
                unsafe self.vectors.scores(
                    query,
                    queryNorm: queryNorm,
                    first: first,
                    metric: self.metric,
                    into: UnsafeMutableBufferPointer(rebasing: block[..<count])
                )
            }
            for index in 0..<count {
                let score = scratch.block[index]
                guard scratch.pool.mayEnter(score) else { continue }
                let ordinal = Int32(truncatingIfNeeded: first + index)
                if anyExcluded, exclusion.contains(ordinal) { continue }
                scratch.pool.offer(Hit(ordinal: ordinal, score: score))
            }
            first += count
        }
        scratch.pool.drain(into: &hits)
    }
}
