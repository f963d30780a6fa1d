import AnnexCore
import CAnnexKernels

/// Searches a layout. All scores and bounds of items in here are as the kernels give them: in units of the query's
/// scale, and without `ScanQuery.offset`. Products with centroids have it.
extension ScanLayout {
    /// Says which clusters a search looks at.
    enum ClusterSelection {
        /// The search looks at all clusters whose bound reaches the k-th best, with the part across the centroid
        /// weighed by kappa: at 1 next to nothing is lost (`ScanQuery.scoreErrorBound`), below it is a bet that gets
        /// faster.
        case kappa(Float)
        /// The search looks at the n clusters whose direction is nearest to the query's.
        case nearest(Int)

        var kappa: Float { if case .kappa(let value) = self { value } else { 1 } }
    }

    /// Fills `scratch.pool` with the best `capacity` (16, 32 or 64) items by their codes, the scan ending by the k-th.
    func collectBest(
        _ query: ScanQuery,
        capacity: Int,
        k: Int,
        clusters selection: ClusterSelection,
        exclusion: borrowing ExclusionMarks,
        scratch: ScanScratch
    ) {
        unsafe CAnnexKernels_empty(&scratch.pool, Int32(capacity), Int32(k))
        let epoch = exclusion.epoch
        unsafe exclusion.withMarks { marks in
            unsafe self.collectBest(query, k, selection, marks, epoch, scratch)
        }
    }

    private func collectBest(
        _ query: ScanQuery,
        _ k: Int,
        _ selection: ClusterSelection,
        _ marks: UnsafePointer<UInt64>?,
        _ epoch: UInt32,
        _ scratch: ScanScratch
    ) {
        let shape = self.shape
        var codes = unsafe self.codes
        var queryCodes = unsafe query.codes
        let margin = unsafe selection.kappa < 1 ? 0 : query.scoreErrorBound(self)
        var bounds = unsafe CAnnexKernels_Bounds(
            along: self.along,
            across: self.across,
            a: query.norm / query.scale,
            b: 0,
            c: margin - query.offset
        )
        scratch.blocksRead = unsafe CAnnexKernels_scan(
            &codes,
            &queryCodes,
            0,
            shape.headBlocks,
            &bounds,
            marks,
            epoch,
            &scratch.pool
        )
        scratch.clustersScanned = 0
        guard shape.clusters > 0 else { return }
        let kappa = selection.kappa
        var count: Int
        if case .nearest(let wanted) = selection, wanted <= CAnnexKernels_maximumPool {
            count = unsafe self.nearestClusters(query, wanted, scratch)
        } else {
            count = unsafe self.rankClusters(query, selection, atLeast: scratch.kth(k) - margin, scratch)
        }
        let firstBlocks = unsafe self.firstBlocks
        var batch = 8
        var first = 0
        while first < count {
            // Where there are few clusters, one or two are scanned before the rest is ruled out: sorting more would be in vain.
            let end = count - first <= 32 ? first + 1 : min(first + batch, count)
            scratch.selectBest(first..<count, end - first)
            for index in first..<end {
                let candidate = unsafe scratch.candidates[index]
                if candidate.bound + margin < scratch.kth(k) { break }
                guard scratch.mayReadOn() else { return }
                scratch.clustersScanned = index + 1
                let cluster = Int(candidate.cluster)
                unsafe self.setBounds(&bounds, query, cluster, kappa, scratch)
                let block = unsafe Int(firstBlocks[cluster])
                let stop = unsafe CAnnexKernels_scan(
                    &codes,
                    &queryCodes,
                    block,
                    Int(firstBlocks[cluster + 1]),
                    &bounds,
                    marks,
                    epoch,
                    &scratch.pool
                )
                scratch.blocksRead += stop - block
            }
            count = scratch.dropBelow(scratch.kth(k) - margin, end..<count)
            first = end
            batch *= 2
        }
    }

    /// Sets how the bound of a cluster is made of its parts. Where the query points away from the centroid the smallest
    /// part along it counts, or it would be no bound.
    func setBounds(
        _ bounds: inout CAnnexKernels_Bounds,
        _ query: ScanQuery,
        _ cluster: Int,
        _ kappa: Float,
        _ scratch: ScanScratch
    ) {
        let along = unsafe scratch.products[cluster]
        let norm = unsafe query.norm / query.scale
        unsafe bounds.along = along >= 0 ? self.along : self.leastAlong
        unsafe bounds.a = along
        unsafe bounds.b = kappa * max(0, norm * norm - along * along).squareRoot()
    }

    /// Writes the `wanted` clusters (64 at most) whose direction has the largest product with the query to
    /// `scratch.candidates`, and returns their number. Of thousands of centroids this is a scan like any other: no bound is
    /// made and nothing sorted for those that are not wanted. O(clusters × dimension).
    private func nearestClusters(_ query: ScanQuery, _ wanted: Int, _ scratch: ScanScratch) -> Int {
        var codes = unsafe self.centroidCodes
        var queryCodes = unsafe query.codes
        let capacity: Int32 = wanted <= 16 ? 16 : wanted <= 32 ? 32 : 64
        unsafe CAnnexKernels_empty(&scratch.clusterPool, capacity, capacity)
        // A bound above every score: nothing ends this scan. There are at least as many blocks of items.
        var bounds = unsafe CAnnexKernels_Bounds(along: self.norms, across: self.norms, a: 0, b: 0, c: .infinity)
        unsafe CAnnexKernels_scan(
            &codes,
            &queryCodes,
            0,
            self.shape.centroidBlocks,
            &bounds,
            nil,
            0,
            &scratch.clusterPool
        )
        let norm = unsafe query.norm / query.scale
        var count = 0
        unsafe ScanScratch.withFound(&scratch.clusterPool) { clusters, products in
            count = min(wanted, clusters.count)
            for index in 0..<count {
                let (cluster, product) = unsafe (clusters[index], products[index] + query.offset)
                let block = unsafe Int(self.firstBlocks[Int(cluster)])
                let part = unsafe product >= 0 ? self.along[block] : self.leastAlong[block]
                let beside = max(0, norm * norm - product * product).squareRoot()
                unsafe scratch.products[Int(cluster)] = product
                unsafe scratch.candidates[index] = ScanScratch.Candidate(
                    bound: product * part + beside * self.across[block] - query.offset,
                    cluster: cluster
                )
            }
        }
        return count
    }

    /// Scores all centroids and writes the selected clusters to `scratch.candidates` whose bound is at least
    /// `threshold`; returns their number. O(clusters × dimension).
    private func rankClusters(
        _ query: ScanQuery,
        _ selection: ClusterSelection,
        atLeast threshold: Float,
        _ scratch: ScanScratch
    ) -> Int {
        let kappa = selection.kappa
        var codes = unsafe self.centroidCodes
        var queryCodes = unsafe query.codes
        unsafe CAnnexKernels_block_scores(&codes, &queryCodes, 0, self.shape.centroidBlocks, scratch.products)
        let norm = unsafe query.norm / query.scale
        let square = norm * norm
        let offset = unsafe query.offset
        let products = unsafe scratch.products
        let candidates = unsafe scratch.candidates
        let (along, least, across, first) = unsafe (self.along, self.leastAlong, self.across, self.firstBlocks)
        var count = 0
        for cluster in 0..<self.shape.clusters {
            let block = unsafe Int(first[cluster])
            let product = unsafe products[cluster] + offset
            unsafe products[cluster] = product
            let part = unsafe product >= 0 ? along[block] : least[block]
            let beside = max(0, square - product * product).squareRoot()
            let bound = unsafe product * part + kappa * beside * across[block] - offset
            unsafe candidates[count] = ScanScratch.Candidate(bound: bound, cluster: Int32(truncatingIfNeeded: cluster))
            count += bound < threshold ? 0 : 1
        }
        if case .nearest(let wanted) = selection { scratch.keepNearest(wanted, &count) }
        return count
    }
}

extension ScanScratch {
    /// Returns the k-th best score in the pool; -infinity while it has fewer.
    @inline(__always)
    func kth(_ k: Int) -> Float {
        unsafe withUnsafeBytes(of: &self.pool.scores) {
            unsafe $0.loadUnaligned(fromByteOffset: (k - 1) * 4, as: Float.self)
        }
    }

    /// Moves the `count` best of a range of candidates to its front, in order. O(range + count log count).
    func selectBest(_ range: Range<Int>, _ count: Int) {
        if count == 1 { return self.moveBest(range) }
        var low = range.lowerBound
        var high = range.upperBound - 1
        let last = range.lowerBound + count - 1
        let items = unsafe self.candidates
        while low < high, range.count > count {
            let pivot = unsafe items[low + (high - low) / 2].bound
            var left = low
            var right = high
            while left <= right {
                while unsafe items[left].bound > pivot { left += 1 }
                while unsafe items[right].bound < pivot { right -= 1 }
                if left <= right {
                    unsafe self.swapAt(items, left, right)
                    left += 1
                    right -= 1
                }
            }
            if last <= right { high = right } else if last >= left { low = left } else { break }
        }
        for index in range.lowerBound..<range.lowerBound + count {
            var best = index
            for other in index + 1..<max(index + 1, range.lowerBound + count)
            where unsafe items[other].bound > items[best].bound { best = other }
            unsafe self.swapAt(items, index, best)
        }
    }

    /// Swaps the best of a range to its front. O(range).
    private func moveBest(_ range: Range<Int>) {
        let items = unsafe self.candidates
        // Two runs of comparisons that do not wait for each other, without a branch: which is best cannot be foreseen.
        var (best, second) = (range.lowerBound, range.lowerBound)
        var bound = unsafe items[best].bound
        var secondBound = bound
        var index = range.lowerBound
        while index + 1 < range.upperBound {
            let (one, other) = unsafe (items[index].bound, items[index + 1].bound)
            best = one > bound ? index : best
            bound = one > bound ? one : bound
            second = other > secondBound ? index + 1 : second
            secondBound = other > secondBound ? other : secondBound
            index += 2
        }
        if index < range.upperBound, unsafe items[index].bound > bound {
            best = index
            bound = unsafe items[index].bound
        }
        unsafe self.swapAt(items, range.lowerBound, secondBound > bound ? second : best)
    }

    private func swapAt(_ items: UnsafeMutablePointer<Candidate>, _ a: Int, _ b: Int) {
        let moved = unsafe items[a]
        unsafe items[a] = items[b]
        unsafe items[b] = moved
    }

    /// Takes the candidates below a bound out of a range; returns its new end.
    func dropBelow(_ bound: Float, _ range: Range<Int>) -> Int {
        let items = unsafe self.candidates
        var end = range.lowerBound
        for index in range {
            let candidate = unsafe items[index]
            unsafe items[end] = candidate
            end += candidate.bound < bound ? 0 : 1
        }
        return end
    }

    /// Keeps the candidates whose centroid has the largest product with the query.
    func keepNearest(_ wanted: Int, _ count: inout Int) {
        guard wanted < count else { return }
        for index in 0..<count {
            unsafe swap(&self.candidates[index].bound, &self.products[Int(self.candidates[index].cluster)])
        }
        self.selectBest(0..<count, wanted)
        for index in 0..<count {
            unsafe swap(&self.candidates[index].bound, &self.products[Int(self.candidates[index].cluster)])
        }
        count = wanted
    }
}
