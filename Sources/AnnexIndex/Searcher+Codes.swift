import AnnexCore

/// Searches over codes: they propose, exact scores decide.
extension Searcher {
    /// Returns the depth of the kernels' pools that a given k needs, so that codes that put near scores in the wrong
    /// order lose nothing. Returns nil where k needs more than there is.
    private func poolCapacity(_ k: Int) -> Int? {
        let reserve = self.metric == .ip ? 6 : 22
        let needed = max(k + reserve, k + k / 4)
        return needed <= 16 ? 16 : needed <= 32 ? 32 : needed <= 64 ? 64 : nil
    }

    /// Returns the number found; nil where there are no codes, or none for this query, or where the search has reached its limit.
    func scanCodes(
        _ query: UnsafeBufferPointer<Float>,
        _ queryNorm: Float,
        _ k: Int,
        _ selection: ScanLayout.ClusterSelection,
        _ exclusion: borrowing ExclusionMarks,
        _ scratch: inout SearchScratch,
        _ hits: inout [Hit]
    ) -> Int? {
        guard let layout, let codes = unsafe ScanQuery(query, layout, scratch.scan) else { return nil }
        scratch.beginPool(k: k, metric: self.metric)
        // Where most of what scores high is left out, the best that remain stand close together, closer than codes can
        // tell apart: then, as for a large k, every item that could be right gets its exact score.
        if let capacity = self.poolCapacity(k) {
            unsafe layout.collectBest(
                codes,
                capacity: capacity,
                k: k,
                clusters: selection,
                exclusion: exclusion,
                scratch: scratch.scan
            )
            if scratch.scan.isUnfinished { return nil }
            if scratch.scan.skipped <= self.mostSkipped(exclusion.count, capacity) {
                scratch.read = scratch.scan.blocksRead * ScanShape.blockItems
                if unsafe !self.rescore(capacity, layout, codes, query, queryNorm, &scratch) {
                    unsafe self.rescoreDeeper(capacity, layout, codes, selection, query, queryNorm, exclusion, &scratch)
                }
                scratch.pool.drain(into: &hits)
                return hits.count
            }
        }
        unsafe layout.searchExactly(
            codes,
            original: query,
            queryNorm: queryNorm,
            vectors: self.vectors,
            clusters: selection,
            exclusion: exclusion,
            scratch: scratch.scan,
            pool: &scratch.pool
        )
        scratch.pool.drain(into: &hits)
        scratch.read = scratch.scan.blocksRead * ScanShape.blockItems
        return hits.count
    }

    /// Items left out that a scan may meet. Where so many are left out that few can be the query's own best, it is some
    /// more than chance brings: a pool of p items is offered about p (1 + ln (read / p)) items. Of 41,000 items 10,000
    /// random ones are met some 30 times, a user's own 10,000 best thousands of times.
    private func mostSkipped(_ excluded: Int, _ capacity: Int) -> Int {
        let rows = self.vectors.rows
        guard excluded > DefaultEffort.mostLeftOut(of: rows) else { return 256 }
        return 32 + 8 * capacity * excluded / max(1, rows - excluded)
    }

    /// Gives the items of the kernels' pool their exact scores and offers them to `scratch.pool`; false where some that
    /// are not in the kernels' pool could be among the k best.
    private func rescore(
        _ capacity: Int,
        _ layout: ScanLayout,
        _ codes: ScanQuery,
        _ query: UnsafeBufferPointer<Float>,
        _ queryNorm: Float,
        _ scratch: inout SearchScratch
    ) -> Bool {
        var count = 0
        unsafe scratch.scan.withFound { ordinals, _ in
            count = ordinals.count
            for index in ordinals.indices { scratch.chosen[index] = unsafe ordinals[index] }
        }
        unsafe self.rescoreChosen(count, query, queryNorm, &scratch)
        guard count == capacity, scratch.pool.isFull else { return true }
        let worst = unsafe codes.units(scratch.pool.worstScore, queryNorm: queryNorm, self.metric)
        return unsafe scratch.scan.kth(capacity) < worst
            - self.scoreErrorBound(scratch.chosen[capacity - 1], codes, layout)
    }

    /// See `ScanQuery.scoreErrorBound`. On `ip` the errors of codes grow with the length of a row, and items behind this one
    /// are about as long.
    private func scoreErrorBound(_ ordinal: Int32, _ codes: ScanQuery, _ layout: ScanLayout) -> Float {
        let most = unsafe codes.scoreErrorBound(layout)
        guard self.metric == .ip, layout.largestNorm > 0 else { return most }
        return most * min(1, self.vectors.norm(Int(ordinal)) / layout.largestNorm)
    }

    /// Goes once more through what was scanned: see `ScanLayout.collectDeeper`.
    private func rescoreDeeper(
        _ capacity: Int,
        _ layout: ScanLayout,
        _ codes: ScanQuery,
        _ selection: ScanLayout.ClusterSelection,
        _ query: UnsafeBufferPointer<Float>,
        _ queryNorm: Float,
        _ exclusion: borrowing ExclusionMarks,
        _ scratch: inout SearchScratch
    ) {
        unsafe scratch.chosen.withUnsafeBufferPointer { chosen in
            unsafe layout.collectDeeper(
                codes,
                original: query,
                queryNorm: queryNorm,
                vectors: self.vectors,
                clusters: selection,
                known: UnsafeBufferPointer(rebasing: chosen[..<capacity]),
                exclusion: exclusion,
                scratch: scratch.scan,
                pool: &scratch.pool
            )
        }
    }

    /// Rescores the first `count` of `scratch.chosen`.
    private func rescoreChosen(
        _ count: Int,
        _ query: UnsafeBufferPointer<Float>,
        _ queryNorm: Float,
        _ scratch: inout SearchScratch
    ) {
        unsafe scratch.chosen.withUnsafeBufferPointer { chosen in
            let ordinals = unsafe UnsafeBufferPointer(rebasing: chosen[..<count])
            unsafe scratch.rescored.withUnsafeMutableBufferPointer { out in
                unsafe self.vectors.scores(query, queryNorm: queryNorm, of: ordinals, metric: self.metric, into: out)
            }
        }
        for index in 0..<count {
            scratch.pool.offer(Hit(ordinal: scratch.chosen[index], score: scratch.rescored[index]))
        }
    }

    /// Returns the number found; nil where a scan of everything is cheaper, or there are no codes for this query.
    func walkCodes(
        _ query: UnsafeBufferPointer<Float>,
        _ queryNorm: Float,
        _ k: Int,
        _ efSearch: Int,
        _ exclusion: borrowing ExclusionMarks,
        _ scratch: inout SearchScratch,
        _ hits: inout [Hit]
    ) -> Int? {
        let ef = max(efSearch, k)
        // A step looks at a dozen items that no other did.
        guard let layout, ef * 12 < self.vectors.rows - exclusion.count,
            let codes = unsafe ScanQuery(query, layout, scratch.scan)
        else { return nil }
        // The codes put near scores in the wrong order: some more than k get their exact score.
        let depth = self.poolCapacity(k) ?? k + k / 4
        guard
            unsafe layout.walk(codes, ef: max(ef, depth), depth: depth, exclusion: exclusion, scratch: scratch.scan)
        else { return nil }
        scratch.beginPool(k: k, metric: self.metric)
        scratch.read = unsafe scratch.scan.walk.list.visited + scratch.scan.blocksRead * ScanShape.blockItems
        var left = depth
        var number = 0
        let anyExcluded = exclusion.count > 0
        while unsafe number < scratch.scan.walk.list.count {
            if left == 0 {
                let worst = unsafe codes.units(scratch.pool.worstScore, queryNorm: queryNorm, self.metric)
                let error = unsafe self.scoreErrorBound(scratch.chosen[0], codes, layout)
                if unsafe scratch.scan.walk.list.score(number) < worst - error { break }
                left = 8
            }
            var count = 0
            while count < min(left, scratch.chosen.count), unsafe number < scratch.scan.walk.list.count {
                let ordinal = unsafe layout.ordinals[Int(scratch.scan.walk.list.item(number))]
                number += 1
                guard !anyExcluded || !exclusion.contains(ordinal) else { continue }
                scratch.chosen[count] = ordinal
                count += 1
            }
            unsafe self.rescoreChosen(count, query, queryNorm, &scratch)
            left -= count
        }
        scratch.pool.drain(into: &hits)
        return hits.count
    }
}
