import AnnexCore
import CAnnexKernels

/// The exact search: codes only rule out what cannot be among the k best, everything else gets its float32 score.
extension ScanLayout {
    /// Fills `pool` with the best k of the items in the selected clusters, by score and then by ordinal, without those that
    /// are excluded. With kappa 1 no cluster is left out.
    ///
    /// Why it is exact. With x' and q' what the codes stand for, |x·q − x'·q'| ≤ |x − x'||q| + |x'||q − q'|
    /// (Cauchy and Schwarz), and each block knows its largest |x − x'| and |x|. In a cluster with the direction d,
    /// x·q ≤ (x·d)(q·d)/|d|² + |x⊥||q⊥|, where ⊥ is the part at right angles to d, and each block knows the largest and
    /// the smallest x·d and the largest |x⊥| of what stands behind. A scan or a cluster ends where such a bound is below the
    /// k-th best found. `ExactRun.slack` is larger than the sum of all roundings.
    ///
    /// Only `bound < threshold` leaves anything out. A bound that cannot be computed is infinite or no number, and neither
    /// is below anything, so that the pool gets its k hits whatever the rows are.
    func searchExactly(
        _ query: ScanQuery,
        original: UnsafeBufferPointer<Float>,
        queryNorm: Float,
        vectors: VectorFile,
        clusters selection: ClusterSelection,
        exclusion: borrowing ExclusionMarks,
        scratch: ScanScratch,
        pool: inout TopPool
    ) {
        let scale = unsafe query.scale
        scratch.blocksRead = 0
        let rounding = unsafe ScanQuery.rounding(self.shape.dimension)
        let norm = unsafe query.norm * (1 + rounding)
        let error = unsafe query.error(self.shape.groups * 4, scratch)
        var run = unsafe ExactRun(
            layout: self,
            codes: query,
            query: original,
            queryNorm: queryNorm,
            vectors: vectors,
            rounding: rounding,
            errorWeight: (norm + error) / scale,
            normWeight: error / scale
        )
        var queryCodes = unsafe query.codes
        var bounds = unsafe CAnnexKernels_Bounds(
            along: self.along,
            across: self.across,
            a: norm / scale,
            b: 0,
            c: -query.offset
        )
        defer { unsafe run.scorePending(scratch, &pool) }
        unsafe run.scan(0, self.shape.headBlocks, &bounds, &queryCodes, exclusion, scratch, &pool)
        guard self.shape.clusters > 0, scratch.mayReadOn() else { return }
        var count = unsafe self.boundClusters(query, norm / scale, rounding, selection.kappa, scratch)
        if case .nearest(let wanted) = selection { scratch.keepNearest(wanted, &count) }
        var batch = 8
        var first = 0
        while first < count {
            let end = min(first + batch, count)
            scratch.selectBest(first..<count, end - first)
            for index in first..<end {
                let candidate = unsafe scratch.candidates[index]
                // Candidates stand in order of their bounds: those behind cannot reach the k-th best either.
                if unsafe candidate.bound < run.threshold(pool) { return }
                let cluster = Int(candidate.cluster)
                unsafe self.setExactBounds(&bounds, scratch.products[cluster], norm / scale, rounding, selection.kappa)
                guard scratch.mayReadOn() else { return }
                unsafe run.scan(
                    Int(self.firstBlocks[cluster]),
                    Int(self.firstBlocks[cluster + 1]),
                    &bounds,
                    &queryCodes,
                    exclusion,
                    scratch,
                    &pool
                )
            }
            first = end
            batch *= 2
        }
    }

    /// Returns a bound for each cluster, from float32 products with the centroids; returns the number of clusters.
    private func boundClusters(
        _ query: ScanQuery,
        _ norm: Float,
        _ rounding: Float,
        _ kappa: Float,
        _ scratch: ScanScratch
    ) -> Int {
        let components = self.shape.groups * 4
        unsafe CAnnexKernels_dot_rows(
            scratch.vector,
            self.centroid(0),
            components,
            components,
            self.shape.clusters,
            scratch.products
        )
        var bounds = unsafe CAnnexKernels_Bounds(along: self.along, across: self.across, a: 0, b: 0, c: -query.offset)
        for cluster in 0..<self.shape.clusters {
            unsafe scratch.products[cluster] /= query.scale
            unsafe self.setExactBounds(&bounds, scratch.products[cluster], norm, rounding, kappa)
            let block = unsafe Int(self.firstBlocks[cluster])
            let bound = unsafe bounds.a * bounds.along[block] + bounds.b * bounds.across[block] + bounds.c
            unsafe scratch.candidates[cluster] = ScanScratch.Candidate(
                bound: bound,
                cluster: Int32(truncatingIfNeeded: cluster)
            )
        }
        return self.shape.clusters
    }

    /// Sets the bound of a cluster, from the query's product with its direction.
    ///
    /// Along the direction the largest part counts, or the smallest where the query points away: no part in between
    /// gives more, whatever the signs are. The product is known up to rounding. Along the direction that is covered by
    /// `ExactRun.slack`; across it, the product counts that is nearer to a right angle.
    private func setExactBounds(
        _ bounds: inout CAnnexKernels_Bounds,
        _ product: Float,
        _ norm: Float,
        _ rounding: Float,
        _ kappa: Float
    ) {
        let nearest = max(0, abs(product) - norm * rounding)
        unsafe bounds.along = product >= 0 ? self.along : self.leastAlong
        unsafe bounds.a = product
        unsafe bounds.b = max(0, norm * norm - nearest * nearest).squareRoot() * (1 + rounding) * kappa
    }
}

/// One exact search under way.
@unsafe struct ExactRun {
    private let layout: ScanLayout
    private let query: UnsafeBufferPointer<Float>
    private let queryNorm: Float
    private let vectors: VectorFile
    private let scale: Float
    private let offset: Float
    /// Holds the squared length of the query as it is encoded.
    private let square: Float
    private let rounding: Float
    private let errorWeight: Float
    private let normWeight: Float
    private let slack: Float
    /// Lists items that had their exact score before.
    var known = unsafe UnsafeBufferPointer<Int32>(start: nil, count: 0)

    /// - Parameters:
    ///   - codes: of `query`.
    ///   - rounding: the relative error of a float32 product, `ScanQuery.rounding`; 0 where roundings do not matter.
    ///   - errorWeight: how much of a block's largest error and length, `normWeight`, its scores may be too low by.
    init(
        layout: ScanLayout,
        codes: ScanQuery,
        query: UnsafeBufferPointer<Float>,
        queryNorm: Float,
        vectors: VectorFile,
        rounding: Float,
        errorWeight: Float,
        normWeight: Float
    ) {
        unsafe self.layout = layout
        unsafe self.query = query
        unsafe self.queryNorm = queryNorm
        unsafe self.vectors = vectors
        unsafe (self.scale, self.offset) = (codes.scale, codes.offset)
        unsafe self.square = codes.norm * codes.norm
        unsafe self.rounding = rounding
        unsafe self.errorWeight = errorWeight
        unsafe self.normWeight = normWeight
        unsafe self.slack = Self.slack(layout, codes, rounding)
    }

    /// Returns a bound on the errors of scores, bounds and thresholds together, in units of scores (on `cosine` of
    /// scores × |q|).
    ///
    /// With u = 2⁻²⁴ a float32 product of d components is wrong by at most (d / 32 + 7) u |x||q|. That counts twice, for
    /// the score and for the query's product with a direction. All that is rounded once (|d|² of a direction, lengths, the
    /// arithmetic of bounds) adds less than 30 u |x||q|. `rounding` is (d / 16 + 64) u, which is more than the sum. On
    /// `cosine` the product with the mean adds a third; on `l2` a bound is a difference of squares, so the squares count.
    ///
    /// Numbers below the smallest normal one may lose all digits or be flushed to zero: so much again for each component.
    private static func slack(_ layout: ScanLayout, _ codes: ScanQuery, _ rounding: Float) -> Float {
        let length = unsafe codes.norm * (1 + rounding)
        let largest = layout.largestNorm
        let underflow = unsafe 4 * (Float(layout.shape.dimension) + codes.scale) * Float.leastNormalMagnitude
        switch layout.shape.metric {
        case .ip: return rounding * length * largest + underflow
        case .cosine: return 3 * rounding * length + underflow / VectorFile.boundedLengths.lowerBound
        case .l2: return rounding * (length * largest + largest * largest + length * length) + underflow
        }
    }

    /// Returns the score, in the scan's units, that an item must be able to reach. It is -infinity while the pool is
    /// not full, and no number where the worst hit has none: nothing is below either.
    func threshold(_ pool: borrowing TopPool) -> Float {
        guard pool.isFull else { return -.infinity }
        let worst = pool.worstScore
        switch unsafe self.layout.shape.metric {
        case .ip: return unsafe (worst - self.slack) / self.scale
        case .cosine: return unsafe (worst * self.queryNorm - self.slack) / self.scale - self.offset
        case .l2: return unsafe ((self.square - worst) / 2 - self.rounding * worst - self.slack) / self.scale
        }
    }

    /// Items wait until there are so many, since scoring them together hides the latency of memory. The threshold is a little
    /// late by it.
    private static let togetherAtLeast = 8

    mutating func scan(
        _ first: Int,
        _ end: Int,
        _ bounds: inout CAnnexKernels_Bounds,
        _ codes: inout CAnnexKernels_Query,
        _ exclusion: borrowing ExclusionMarks,
        _ scratch: ScanScratch,
        _ pool: inout TopPool
    ) {
        var items = unsafe self.layout.codes
        let ordinals = unsafe self.layout.ordinals
        let anyExcluded = exclusion.count > 0
        var block = first
        while block < end, scratch.mayReadOn() {
            let start = block
            let stop = min(end, start + ScanScratch.blocksPerLook)
            let found = unsafe CAnnexKernels_collect(
                &items,
                &codes,
                &block,
                stop,
                &bounds,
                self.threshold(pool),
                self.layout.errors,
                self.errorWeight,
                self.layout.norms,
                self.normWeight,
                scratch.slots,
                scratch.scores
            )
            scratch.blocksRead += block - start
            // Nothing was found before the end, so a bound rules out what stands behind.
            if found == 0, block < stop { return }
            for index in 0..<found {
                let ordinal = unsafe ordinals[Int(scratch.slots[index])]
                guard ordinal >= 0, !(anyExcluded && exclusion.contains(ordinal)) else { continue }
                if unsafe self.known.contains(ordinal) { continue }
                scratch.addPending(ordinal)
            }
            if unsafe scratch.pending >= Self.togetherAtLeast { unsafe self.scorePending(scratch, &pool) }
        }
    }

    /// Gives the waiting items their exact scores: several at once, so that the next is on its way from memory while one is
    /// worked on. The caller does so once more after the last `scan`.
    func scorePending(_ scratch: ScanScratch, _ pool: inout TopPool) {
        unsafe scratch.withPending { ordinals, scores in
            unsafe self.vectors.scores(
                self.query,
                queryNorm: self.queryNorm,
                of: ordinals,
                metric: self.layout.shape.metric,
                into: scores
            )
            for index in ordinals.indices {
                unsafe pool.offer(Hit(ordinal: ordinals[index], score: scores[index]))
            }
        }
    }
}
