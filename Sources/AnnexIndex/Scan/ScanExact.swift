import AnnexCore
import CAnnexKernels

/// The exact search: codes only rule out what cannot be among the k best, everything else gets its float32 score.
extension ScanLayout {
    /// Fills `pool` with the best k of all items within reach that are not excluded, by score and then by ordinal. With
    /// kappa 1 all items are within reach.
    ///
    /// Why it is exact. With x' and q' what the codes stand for, |x·q − x'·q'| ≤ |x − x'||q| + |x'||q − q'|
    /// (Cauchy and Schwarz), and each block knows its largest |x − x'| and |x|; a scan or a cluster ends where an upper
    /// bound of everything behind is below the k-th best found. Rounding of floats is covered by `slack`, a bound on the
    /// error of a float32 product of this dimension that is larger than the sum of all roundings.
    func searchExactly(
        _ query: ScanQuery,
        original: UnsafeBufferPointer<Float>,
        queryNorm: Float,
        vectors: VectorFile,
        reach: Reach,
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
            query: original,
            queryNorm: queryNorm,
            vectors: vectors,
            scale: scale,
            offset: query.offset,
            length: norm,
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
        guard self.shape.clusters > 0 else { return }
        var count = unsafe self.boundClusters(query, norm / scale, rounding, reach.kappa, scratch)
        if case .nearest(let wanted) = reach { scratch.keepNearest(wanted, &count) }
        var batch = 8
        var first = 0
        while first < count {
            let end = min(first + batch, count)
            scratch.selectBest(first..<count, end - first)
            for place in first..<end {
                let candidate = unsafe scratch.candidates[place]
                // In order of their bounds: what is behind cannot reach the k-th best either.
                guard unsafe candidate.bound >= run.threshold(pool) else { return }
                let cluster = Int(candidate.cluster)
                unsafe self.setExactBounds(
                    &bounds,
                    scratch.products[cluster],
                    norm / scale,
                    rounding,
                    reach.kappa,
                    cluster
                )
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

    /// A bound for each cluster, from float32 products with the centroids; returns the number of clusters.
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
            unsafe self.setExactBounds(&bounds, scratch.products[cluster], norm, rounding, kappa, cluster)
            let block = unsafe Int(self.firstBlocks[cluster])
            let bound = unsafe bounds.a * bounds.along[block] + bounds.b * bounds.across[block] + bounds.c
            unsafe scratch.candidates[cluster] = ScanScratch.Candidate(
                bound: bound,
                cluster: Int32(truncatingIfNeeded: cluster)
            )
        }
        return self.shape.clusters
    }

    /// The product with the centroid is known up to rounding: the larger side counts for the part along it, and for the
    /// part across it the one nearer to a right angle.
    private func setExactBounds(
        _ bounds: inout CAnnexKernels_Bounds,
        _ product: Float,
        _ norm: Float,
        _ rounding: Float,
        _ kappa: Float,
        _ cluster: Int
    ) {
        let block = unsafe Int(self.firstBlocks[cluster])
        let high = product + norm * rounding
        let nearest = max(0, abs(product) - norm * rounding)
        unsafe bounds.b = max(0, norm * norm - nearest * nearest).squareRoot() * (1 + rounding) * kappa
        if high >= 0, unsafe self.along[block] >= 0 {
            unsafe bounds.along = self.along
            unsafe bounds.a = high
        } else if high < 0, unsafe self.leastAlong[block] >= 0 {
            unsafe bounds.along = self.leastAlong
            unsafe bounds.a = high
        } else {
            // Items behind the plane of their own centroid: no bound better than the length.
            unsafe bounds.along = self.along
            unsafe bounds.a = 0
            unsafe bounds.b = .infinity
        }
    }
}

/// One exact search under way.
@unsafe struct ExactRun {
    let layout: ScanLayout
    let query: UnsafeBufferPointer<Float>
    let queryNorm: Float
    let vectors: VectorFile
    let scale: Float
    let offset: Float
    /// Of the query as it is encoded.
    let length: Float
    let rounding: Float
    let errorWeight: Float
    let normWeight: Float
    /// Items that had their exact score before.
    var known = unsafe UnsafeBufferPointer<Int32>(start: nil, count: 0)

    /// The score, in the scan's units, that an item must be able to reach; -infinity while the pool is not full.
    func threshold(_ pool: borrowing TopPool) -> Float {
        guard pool.isFull else { return -.infinity }
        let worst = pool.worstScore
        let largest = unsafe self.layout.largestNorm
        let slack = unsafe self.rounding * self.length * largest
        switch unsafe self.layout.shape.metric {
        case .ip: return unsafe (worst - slack) / self.scale
        // Unit rows; so is what two products, with the mean and with the rest of a row, add up to.
        case .cosine:
            return unsafe (worst * self.queryNorm - 3 * self.rounding * self.length) / self.scale - self.offset
        case .l2:
            let square = unsafe self.length * self.length
            let unsure = unsafe self.rounding * (largest * largest + square + worst)
            return unsafe ((square - worst) / 2 - slack - unsure) / self.scale
        }
    }

    /// Items that wait for their scores before it is worth while: the threshold is a little late by it.
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
        defer { scratch.blocksRead += block - first }
        while block < end {
            let found = unsafe CAnnexKernels_collect(
                &items,
                &codes,
                &block,
                end,
                &bounds,
                self.threshold(pool),
                self.layout.errors,
                self.errorWeight,
                self.layout.norms,
                self.normWeight,
                scratch.places,
                scratch.scores
            )
            guard found > 0 else { return }
            for place in 0..<found {
                let ordinal = unsafe ordinals[Int(scratch.places[place])]
                guard ordinal >= 0, !(anyExcluded && exclusion.contains(ordinal)) else { continue }
                if unsafe self.known.contains(ordinal) { continue }
                scratch.addPending(ordinal)
            }
            if unsafe scratch.pending >= Self.togetherAtLeast { unsafe self.scorePending(scratch, &pool) }
        }
    }

    /// Gives items their exact scores that wait for it: several at once, so that the next is on its way from memory while
    /// one is worked on. To be called behind the last `scan`.
    func scorePending(_ scratch: ScanScratch, _ pool: inout TopPool) {
        unsafe scratch.withPending { ordinals, scores in
            unsafe self.vectors.scores(
                self.query,
                queryNorm: self.queryNorm,
                of: ordinals,
                metric: self.layout.shape.metric,
                into: scores
            )
            for place in ordinals.indices {
                unsafe pool.offer(Hit(ordinal: ordinals[place], score: scores[place]))
            }
        }
    }
}
