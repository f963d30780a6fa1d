import AnnexCore
import CAnnexKernels

/// Walks that end short of what they look for.
///
/// Some graphs that FAISS builds have regions, often of a percent or two of the items, that links lead out of and hardly
/// into. Every item is reachable, yet a walk to that region ends at the best item outside, whatever its `efSearch`, and
/// such queries find nothing right. Walks to some of the items themselves show it, and a link from the best that such a
/// walk found leads in.
struct WalkProbe {
    /// Walks of one round; regions of a thousandth of the items are met by some of them.
    private static let sample = 8_192
    private static let ef = 32

    /// Names an item that a walk did not find though it is better than all that it did find, and those, best first.
    struct Missed: Sendable {
        let item: Int32
        let found: [Int32]
    }

    let layout: ScanLayout
    let vectors: VectorFile
    let workers: Int

    /// Rounds of walks and links; a link shows what lies behind it to the next round, and more than a few find single items
    /// only. None on `ip`: what is best for a row is a longer one, and no walk to the row itself says anything.
    static func rounds(_ metric: Metric) -> Int { metric == .ip ? 0 : 4 }

    /// Picks items that are evenly spread, and other ones in each round.
    static func items(of rows: Int, round: Int) -> [Int32] {
        let step = max(1, rows / Self.sample)
        return stride(from: round % step, to: rows, by: step).map { Int32(truncatingIfNeeded: $0) }
    }

    /// Walks to each of some ordinals. O(items × ef × links).
    func missed(_ items: [Int32]) -> [Missed] {
        let part = (items.count + self.workers * 4 - 1) / max(1, self.workers * 4)
        let parts = Parallel.map(part == 0 ? 0 : (items.count + part - 1) / part, workers: self.workers) { number in
            let scratch = ScanScratch()
            let nothing = ExclusionMarks(rows: self.vectors.rows)
            return items[number * part..<min((number + 1) * part, items.count)].compactMap {
                self.walk(to: $0, nothing, scratch)
            }
        }
        return parts.flatMap { $0 }
    }

    private func walk(to item: Int32, _ nothing: borrowing ExclusionMarks, _ scratch: ScanScratch) -> Missed? {
        let slot = self.layout.slot(of: item)
        var row: [Float] = []
        self.vectors.withRow(Int(item)) { values in row = values.indices.map { values[$0] } }
        return unsafe row.withUnsafeBufferPointer { row in
            guard let query = unsafe ScanQuery(row, self.layout, scratch),
                unsafe self.layout.walk(query, ef: Self.ef, depth: Self.ef, exclusion: nothing, scratch: scratch)
            else { return nil }
            let list = unsafe scratch.walk.list
            guard unsafe list.count > 0 else { return nil }
            let slots = unsafe (0..<min(Self.ef, list.count)).map { unsafe list.item($0) }
            guard !slots.contains(slot) else { return nil }
            // A walk need not find the very one of many equal rows.
            guard unsafe self.layout.score(query, slot) > list.score(0) else { return nil }
            return Missed(item: item, found: slots.map { unsafe self.layout.ordinals[Int($0)] })
        }
    }
}

extension ScanLayout {
    /// Returns the score of the item at a slot of a graph, by its codes.
    fileprivate func score(_ query: ScanQuery, _ slot: Int32) -> Float {
        var codes = unsafe self.codes
        var queryCodes = unsafe query.codes
        var slot = slot
        var score: Float = 0
        unsafe CAnnexKernels_scores_at(&codes, &queryCodes, &slot, 1, &score)
        return score
    }
}
