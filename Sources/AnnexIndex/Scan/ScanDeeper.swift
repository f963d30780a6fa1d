import AnnexCore
import CAnnexKernels

/// Searches that read more rows, for those that stand closer together than codes can tell apart.
extension ScanLayout {
    /// Goes once more through the blocks that `collectBest` has read for the same query, and gives every item its exact
    /// score that its codes let be among the k best, within three standard deviations (`ScanQuery.scoreErrorBound`). Those blocks
    /// are still in the processor's caches.
    ///
    /// - Parameters:
    ///   - known: items that `pool` has been offered already.
    ///   - pool: full.
    func collectDeeper(
        _ query: ScanQuery,
        original: UnsafeBufferPointer<Float>,
        queryNorm: Float,
        vectors: VectorFile,
        clusters selection: ClusterSelection,
        known: UnsafeBufferPointer<Int32>,
        exclusion: borrowing ExclusionMarks,
        scratch: ScanScratch,
        pool: inout TopPool
    ) {
        let norm = unsafe query.norm
        var run = unsafe ExactRun(
            layout: self,
            codes: query,
            query: original,
            queryNorm: queryNorm,
            vectors: vectors,
            rounding: 0,
            errorWeight: ScanQuery.trust(self.shape.dimension) * norm / query.scale,
            normWeight: ScanQuery.roundingDeviations
        )
        unsafe run.known = known
        let read = scratch.blocksRead
        defer { scratch.blocksRead = read }
        var queryCodes = unsafe query.codes
        var bounds = unsafe CAnnexKernels_Bounds(
            along: self.along,
            across: self.across,
            a: norm / query.scale,
            b: 0,
            c: -query.offset
        )
        unsafe run.scan(0, self.shape.headBlocks, &bounds, &queryCodes, exclusion, scratch, &pool)
        for index in 0..<scratch.clustersScanned where scratch.mayReadOn() {
            let cluster = unsafe Int(scratch.candidates[index].cluster)
            unsafe self.setBounds(&bounds, query, cluster, selection.kappa, scratch)
            let (first, end) = unsafe (Int(self.firstBlocks[cluster]), Int(self.firstBlocks[cluster + 1]))
            unsafe run.scan(first, end, &bounds, &queryCodes, exclusion, scratch, &pool)
        }
        unsafe run.scorePending(scratch, &pool)
    }
}
