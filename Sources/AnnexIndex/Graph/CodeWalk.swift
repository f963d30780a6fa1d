import AnnexCore
import CAnnexKernels

/// A walk over a graph with 8-bit codes: the best first, in one sorted list (Malkov and Yashunin 2016; the list as in
/// Fu, Xiang, Wang and Cai 2019, "NSG").
///
/// It begins at the best of the seeds, the first slots of the layout, which are scanned; upper levels are not needed.
extension ScanLayout {
    /// The bytes of links that are fetched ahead for the item that is likely to be next.
    private static let linkBytesAhead = 128

    /// Items left out that a walk may have in its list, before it is cheaper to scan.
    private static let mostLeftOut = 256

    /// Writes the slots of the best items by their codes to `scratch.walk`, best first; false where it met too many that are left
    /// out.
    ///
    /// No step looks at a seed again: `depth` of them that may be answers begin in the list, so the others are none.
    ///
    /// O(ef × links) products of codes. Allocates nothing once the scratch memory has grown.
    ///
    /// - Parameter depth: answers that are wanted, and some more for what codes put in the wrong order.
    func walk(
        _ query: ScanQuery,
        ef: Int,
        depth: Int,
        exclusion: borrowing ExclusionMarks,
        scratch: ScanScratch
    ) -> Bool {
        var codes = unsafe self.codes
        var queryCodes = unsafe query.codes
        let anyExcluded = exclusion.count > 0
        let deepest = Int(CAnnexKernels_maximumPool)
        // Long rows are seeds and what most queries like best: of those that are left out, many are seeds.
        unsafe self.scanSeeds(query, &queryCodes, anyExcluded ? deepest : min(depth, deepest), scratch)
        var list = unsafe scratch.walk.begin(
            rows: self.shape.rows,
            capacity: max(ef, deepest) + Self.mostLeftOut,
            longest: self.longestList
        )
        defer { unsafe scratch.walk.list = list }
        let leftOut = unsafe self.appendSeeds(depth, exclusion, scratch, &list)
        let answers = unsafe list.count - leftOut
        let hasAll = answers >= min(depth, self.shape.seeds)
        guard hasAll || depth > deepest || !anyExcluded else { return false }
        let skipped = hasAll ? Int32(truncatingIfNeeded: self.shape.seeds) : 0
        let ordinals = unsafe self.ordinals
        let plain = max(ef, answers)
        var limit = plain + leftOut
        let (starts, links) = unsafe (self.linkStarts, self.links)
        while let slot = unsafe list.next() {
            let first = unsafe Int(starts[slot])
            if let likely = unsafe list.likelyNext() {
                unsafe CAnnexKernels_fetch(links + Int(starts[likely]), Self.linkBytesAhead)
            }
            let count = unsafe list.keepNew(links + first, Int(starts[slot + 1]) - first, skipping: skipped)
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
        let capacity = Int32(pool)
        var bounds = unsafe CAnnexKernels_Bounds(
            along: self.along,
            across: self.across,
            a: query.norm / query.scale,
            b: 0,
            c: -query.offset
        )
        unsafe CAnnexKernels_empty(&scratch.pool, capacity, capacity)
        let blocks = self.shape.seedBlocks
        scratch.blocksRead = unsafe CAnnexKernels_scan(&codes, &queryCodes, 0, blocks, &bounds, nil, 0, &scratch.pool)
    }

    /// Appends the best seeds until `depth` of them are not left out; returns how many are.
    private func appendSeeds(
        _ depth: Int,
        _ exclusion: borrowing ExclusionMarks,
        _ scratch: ScanScratch,
        _ list: inout WalkList
    ) -> Int {
        let ordinals = unsafe self.ordinals
        var leftOut = 0
        unsafe scratch.withFound { slots, scores in
            for number in slots.indices {
                guard unsafe list.count - leftOut < depth else { break }
                unsafe list.append(scores[number], slots[number])
                leftOut += exclusion.contains(unsafe ordinals[Int(slots[number])]) ? 1 : 0
            }
        }
        return leftOut
    }
}
