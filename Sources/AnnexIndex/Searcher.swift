package import AnnexCore

/// Scratch memory of one thread's searches: allocated once, grown only when a larger k comes.
package struct SearchScratch {
    var ordinals: [Int64] = []
    var distances: [Float] = []
    var query: [Float] = []
    var block = [Float](repeating: 0, count: 256)
    var pool = TopPool(metric: .ip)
    var poolMetric = Metric.ip
    var visited = VisitedMarks()
    var frontier = Frontier()

    package init() {}

    mutating func reserve(candidates: Int) {
        guard self.ordinals.count < candidates else { return }
        self.ordinals = [Int64](repeating: -1, count: candidates)
        self.distances = [Float](repeating: 0, count: candidates)
    }

    mutating func beginPool(k: Int, metric: Metric) {
        if self.poolMetric != metric {
            self.pool = TopPool(metric: metric)
            self.poolMetric = metric
        }
        self.pool.begin(k: k)
    }
}

package struct SearchReport: Equatable, Sendable {
    /// Candidates that were scored exactly.
    package var candidates: Int
    /// The index gave fewer items than there are: every item was scored instead.
    package var usedExactFallback: Bool
}

/// A whole search: the index proposes candidates, `vectors.f32` gives each its exact score, the best k remain.
///
/// A value of references; every thread may hold its own.
package struct Searcher: Sendable {
    private let index: VectorIndex
    private let vectors: VectorFile
    private let metric: Metric

    package init(index: VectorIndex, vectors: VectorFile, metric: Metric) {
        self.index = index
        self.vectors = vectors
        self.metric = metric
    }

    /// Fills `hits` with min(k, items not excluded) hits, best first, equal scores by ordinal.
    ///
    /// - Parameters:
    ///   - query: `dimension` finite floats; `queryNorm` their Euclidean norm.
    ///   - k: 1 to `Limits.maximumK`.
    package func search(
        query: UnsafeBufferPointer<Float>,
        queryNorm: Float,
        k: Int,
        effort: SearchEffort,
        exclusion: borrowing ExclusionMarks,
        scratch: inout SearchScratch,
        hits: inout [Hit]
    ) throws(AnnexError) -> SearchReport {
        precondition(k >= 1 && k <= Limits.maximumK && query.count == self.vectors.dimension, "unchecked arguments")
        let eligible = self.vectors.rows - exclusion.count
        let wanted = min(k, eligible)
        guard wanted > 0 else {
            hits.removeAll(keepingCapacity: true)
            return SearchReport(candidates: 0, usedExactFallback: false)
        }
        if effort == .exact || self.index.kind.family == .flat {
            unsafe self.scan(query, queryNorm, wanted, exclusion, &scratch, &hits)
            return SearchReport(candidates: eligible, usedExactFallback: false)
        }
        if let walk = self.index.walk {
            let ef = self.index.walkWidth(effort, k: wanted)
            if self.index.walkIsDearerThanScan(ef: ef, eligible: eligible) {
                unsafe self.scan(query, queryNorm, wanted, exclusion, &scratch, &hits)
                return SearchReport(candidates: eligible, usedExactFallback: false)
            }
            unsafe walk.search(
                query,
                queryNorm: queryNorm,
                ef: ef,
                vectors: self.vectors,
                metric: self.metric,
                exclusion: exclusion,
                scratch: &scratch
            )
            let found = scratch.pool.count
            if found >= wanted {
                scratch.pool.drain(into: &hits, limit: wanted)
                return SearchReport(candidates: found, usedExactFallback: false)
            }
            unsafe self.scan(query, queryNorm, wanted, exclusion, &scratch, &hits)
            return SearchReport(candidates: eligible, usedExactFallback: true)
        }
        let asked = self.index.candidateCount(forK: wanted)
        let found = unsafe try self.index.candidates(
            query: query,
            queryNorm: queryNorm,
            count: asked,
            effort: effort,
            exclusion: exclusion,
            scratch: &scratch
        )
        guard found >= wanted else {
            unsafe self.scan(query, queryNorm, wanted, exclusion, &scratch, &hits)
            return SearchReport(candidates: eligible, usedExactFallback: true)
        }
        scratch.beginPool(k: wanted, metric: self.metric)
        for place in 0..<found {
            let ordinal = Int32(truncatingIfNeeded: scratch.ordinals[place])
            let score = unsafe self.vectors.score(query, queryNorm: queryNorm, ordinal, self.metric)
            scratch.pool.offer(Hit(ordinal: ordinal, score: score))
        }
        scratch.pool.drain(into: &hits)
        return SearchReport(candidates: found, usedExactFallback: false)
    }

    /// Every item, in blocks. O(rows × dimension).
    private func scan(
        _ query: UnsafeBufferPointer<Float>,
        _ queryNorm: Float,
        _ k: Int,
        _ exclusion: borrowing ExclusionMarks,
        _ scratch: inout SearchScratch,
        _ hits: inout [Hit]
    ) {
        scratch.beginPool(k: k, metric: self.metric)
        let anyExcluded = exclusion.count > 0
        var first = 0
        while first < self.vectors.rows {
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
            for place in 0..<count {
                let score = scratch.block[place]
                guard scratch.pool.mayEnter(score) else { continue }
                let ordinal = Int32(truncatingIfNeeded: first + place)
                if anyExcluded, exclusion.contains(ordinal) { continue }
                scratch.pool.offer(Hit(ordinal: ordinal, score: score))
            }
            first += count
        }
        scratch.pool.drain(into: &hits)
    }
}
