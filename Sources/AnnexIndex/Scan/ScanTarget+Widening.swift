import AnnexCore

/// Files of format 2 have bounds that may be too small by 3e-4 of a row's length: the part across a direction was
/// √(|x|² − (x·d)²), as if the length of the rounded direction were 1.
extension ScanTarget {
    /// Widens the bounds of such a file so that they hold, without a look at the rows. O(blocks + clusters × dimension).
    ///
    /// With w = |d|² − 1, the true square across is at most the stored one + (x·d)² w. Parts along were rounded to the
    /// nearest. Rows too long for float32 arithmetic were encoded as all others: their blocks have no bound.
    func widenBounds() {
        unsafe self.dropImpossibleLengths()
        if unsafe self.shape.metric == .ip { unsafe self.boundHead() }
        let starts = unsafe self.pointer(self.offsets.firstBlocks, UInt32.self)
        for cluster in unsafe 0..<self.shape.clusters {
            let first = unsafe min(Int(starts[cluster]), self.shape.blocks)
            let end = unsafe min(Int(starts[cluster + 1]), self.shape.blocks)
            guard first < end else { continue }
            unsafe self.widenBounds(of: first..<end, excess: self.excess(of: cluster))
        }
    }

    /// Longer than any row with a bound can be once a mean was taken off.
    private static let longest = 2 * VectorFile.boundedLengths.upperBound

    private func dropImpossibleLengths() {
        let norms = unsafe self.pointer(self.offsets.norms, Float.self)
        let errors = unsafe self.pointer(self.offsets.errors, Float.self)
        for block in unsafe 0..<self.shape.blocks {
            if unsafe norms[block] >= 0, unsafe norms[block] <= Self.longest, unsafe errors[block] >= 0 { continue }
            unsafe self.setLargest(block, norm: 0, error: .infinity)
        }
    }

    /// Returns |d|² − 1 of a cluster's direction as it is stored, or 0 where that is less.
    private func excess(of cluster: Int) -> Double {
        let components = unsafe self.shape.groups * 4
        let direction = unsafe self.pointer(self.offsets.centroids, Float.self) + cluster * components
        var square = 0.0
        for component in 0..<components { square += unsafe Double(direction[component]) * Double(direction[component]) }
        return square > 1 ? square - 1 : 0
    }

    /// Bounds go from a block to the end of its cluster, and so does what is unknown of one.
    private func widenBounds(of blocks: Range<Int>, excess: Double) {
        let along = unsafe self.pointer(self.offsets.along, Float.self)
        let across = unsafe self.pointer(self.offsets.across, Float.self)
        let least = unsafe self.pointer(self.offsets.leastAlong, Float.self)
        let errors = unsafe self.pointer(self.offsets.errors, Float.self)
        // The difference of squares was computed in double precision: so much of them it may lack.
        let cancelled = unsafe 4 * Double(self.shape.dimension + 8) * Double.ulpOfOne
        var isKnown = true
        for block in blocks.reversed() {
            let farthest = unsafe max(abs(Double(along[block])), abs(Double(least[block])))
            let (alongSquare, acrossSquare) = unsafe (
                farthest * farthest, Double(across[block]) * Double(across[block])
            )
            let square = acrossSquare + alongSquare * excess + (alongSquare + acrossSquare) * cancelled
            isKnown = unsafe isKnown && errors[block].isFinite && square.isFinite
            unsafe self.setBounds(
                block,
                along: isKnown ? along[block].nextUp : .infinity,
                across: isKnown ? square.squareRoot().roundedUp : .infinity,
                leastAlong: isKnown ? least[block].nextDown : -.infinity
            )
        }
    }
}
