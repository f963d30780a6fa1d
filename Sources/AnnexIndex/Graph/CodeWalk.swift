import AnnexCore
import CAnnexKernels

/// A walk over a graph with 8-bit codes: the best first, in one sorted list (Malkov and Yashunin 2016; the list as in
/// Fu, Xiang, Wang and Cai 2019, "NSG").
///
/// It begins at the best of the seeds, the first places of the layout, which are scanned; upper levels are not needed.
extension ScanLayout {
    /// Of the links of the item that is likely to be next.
    private static let linkBytesAhead = 128

    /// Items left out that a walk may have in its list, before it is cheaper to scan.
    private static let mostLeftOut = 256

    /// Writes the best places by their codes to `scratch.walk`, best first; false where it met too many that are left
    /// out.
    ///
    /// O(ef × links) products of codes. Allocates nothing once the scratch memory has grown.
    func walk(
        _ query: ScanQuery,
        ef: Int,
        seedPool: Int,
        exclusion: borrowing ExclusionMarks,
        scratch: ScanScratch
    ) -> Bool {
        var codes = unsafe self.codes
        var queryCodes = unsafe query.codes
        unsafe self.scanSeeds(query, &queryCodes, seedPool, scratch)
        var list = unsafe scratch.walk.begin(
            rows: self.shape.rows,
            capacity: max(ef, seedPool) + Self.mostLeftOut,
            longest: self.longestList
        )
        defer { unsafe scratch.walk.list = list }
        unsafe self.appendSeeds(scratch, &list)
        // Where the pool of seeds is deep enough for those that matter, no step looks at a seed again.
        let skipped = seedPool <= 64 ? Int32(truncatingIfNeeded: self.shape.seeds) : 0
        let ordinals = unsafe self.ordinals
        let anyExcluded = exclusion.count > 0
        let plain = unsafe max(ef, list.count)
        var limit = plain
        if anyExcluded {
            for number in 0..<(unsafe list.count) where exclusion.contains(unsafe ordinals[Int(list.item(number))]) {
                limit += 1
            }
        }
        let (starts, links) = unsafe (self.linkStarts, self.links)
        while let place = unsafe list.next() {
            let first = unsafe Int(starts[place])
            if let likely = unsafe list.likelyNext() {
                unsafe CAnnexKernels_fetch(links + Int(starts[likely]), Self.linkBytesAhead)
            }
            let count = unsafe list.keepNew(links + first, Int(starts[place + 1]) - first, skipping: skipped)
            guard count > 0 else { continue }
            unsafe CAnnexKernels_scores_at(&codes, &queryCodes, list.fresh, count, list.scores)
            for number in 0..<count {
                let score = unsafe list.scores[number]
                guard unsafe list.mayEnter(score, limit) else { continue }
                let item = unsafe list.fresh[number]
                if anyExcluded, exclusion.contains(unsafe ordinals[Int(item)]) {
                    limit += 1
                    guard limit <= plain + Self.mostLeftOut else { return false }
                }
                unsafe list.insert(score, item, limit)
            }
        }
        return true
    }

    private func scanSeeds(
        _ query: ScanQuery,
        _ queryCodes: inout CAnnexKernels_Query,
        _ pool: Int,
        _ scratch: ScanScratch
    ) {
        var codes = unsafe self.seedCodes
        let capacity = Int32(min(pool, 64))
        var bounds = unsafe CAnnexKernels_Bounds(
            along: self.along,
            across: self.across,
            a: query.norm / query.scale,
            b: 0
        )
        unsafe CAnnexKernels_empty(&scratch.pool, capacity, capacity)
        let blocks = self.shape.seedBlocks
        scratch.blocksRead = unsafe CAnnexKernels_scan(&codes, &queryCodes, 0, blocks, &bounds, nil, 0, &scratch.pool)
    }

    private func appendSeeds(_ scratch: ScanScratch, _ list: inout WalkList) {
        unsafe scratch.withFound { places, scores in
            for number in places.indices { unsafe list.append(scores[number], places[number]) }
        }
    }
}
