package import AnnexCore

/// Says how far a search may go. One that would have to go farther gives up, without hits: somebody else has to search
/// again, with more.
package struct SearchLimit: Sendable {
    /// It may read the 8-bit codes of so many items.
    package var codes = Int.max
    /// It may read the float32 rows of so many items, one behind the other.
    package var rows = Int.max
    /// The search looks at it every 4,096 items. It is nil where nobody stops the search.
    package var stop: StopSignal?

    package init(codes: Int = .max, rows: Int = .max, stop: StopSignal? = nil) {
        self.codes = codes
        self.rows = rows
        self.stop = stop
    }

    package static var none: SearchLimit { SearchLimit() }

    /// Reading an item of whom nothing is in the caches takes as long as reading so many in a row.
    private static let rowsPerVisit = 3

    /// Counts items that a walk over float32 rows may look at.
    var visits: Int { self.rows / Self.rowsPerVisit }
}

extension ScanScratch {
    /// Blocks between two looks at the signal.
    static let blocksPerLook = 128

    func begin(_ limit: borrowing SearchLimit) {
        self.isUnfinished = false
        self.mostBlocks = limit.codes / ScanShape.blockItems
        self.stop = limit.stop
        self.nextLook = limit.stop == nil ? self.mostBlocks : min(self.mostBlocks, Self.blocksPerLook)
    }

    /// Tells whether the search may read more blocks than it has. One comparison, except for one in 128 blocks.
    @inline(__always)
    func mayReadOn() -> Bool { self.blocksRead < self.nextLook || self.look() }

    @inline(never)
    private func look() -> Bool {
        self.isUnfinished = self.isUnfinished || self.blocksRead >= self.mostBlocks || self.stop?.shouldStop() ?? false
        self.nextLook = self.isUnfinished ? 0 : min(self.mostBlocks, self.blocksRead + Self.blocksPerLook)
        return !self.isUnfinished
    }
}
