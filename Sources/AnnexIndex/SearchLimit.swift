package import AnnexCore

/// How far a search may go. One that would have to go farther gives up, without hits: somebody else has to search again,
/// with more.
package struct SearchLimit: Sendable {
    /// Items whose 8-bit codes it may read.
    package var codes = Int.max
    /// Items whose float32 rows it may read, one behind the other.
    package var rows = Int.max
    /// Looked at every 4,096 items; nil where nobody stops the search.
    package var stop: StopSignal?

    package init(codes: Int = .max, rows: Int = .max, stop: StopSignal? = nil) {
        self.codes = codes
        self.rows = rows
        self.stop = stop
    }

    package static var none: SearchLimit { SearchLimit() }

    /// Reading an item of whom nothing is in the caches takes as long as reading so many in a row.
    private static let rowsPerVisit = 3

    /// Items that a walk over float32 rows may look at.
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

    /// Whether the search may read more blocks than it has. One comparison, except for one in 128 blocks.
    @inline(__always)
    func mayReadOn() -> Bool { self.blocksRead < self.nextLook || self.look() }

    @inline(never)
    private func look() -> Bool {
        self.isUnfinished = self.isUnfinished || self.blocksRead >= self.mostBlocks || self.stop?.shouldStop() ?? false
        self.nextLook = self.isUnfinished ? 0 : min(self.mostBlocks, self.blocksRead + Self.blocksPerLook)
        return !self.isUnfinished
    }
}
