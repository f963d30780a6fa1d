package import AnnexCore

/// Says how much room the formats have. More is an error before anything is made: no number is cut off.
package enum FormatLimits {
    /// Links of a graph: `serving.bin` has offsets into them of 32 bits.
    package static let links = Int(UInt32.max)

    /// Links that an item of a graph of the kind may have on the level that all items are on, as FAISS has room for, and those that
    /// repair may add.
    static func linksPerItem(_ links: Int) -> Int {
        links < Self.links ? 2 * links + LinkCounts.addedPerItem : Int.max
    }

    /// - Parameter links: the number in the kind's name, 16 of HNSW16.
    /// - Throws: `.limit` where there are more items than ordinals, or where they may have more links than can be counted.
    package static func check(items: Int, hnsw links: Int) throws(AnnexError) {
        try Self.check(items: items)
        let each = Self.linksPerItem(links)
        let (most, isOver) = items.multipliedReportingOverflow(by: max(1, each))
        guard isOver || most > Self.links else { return }
        let fitting = (Self.links / max(1, items) - LinkCounts.addedPerItem) / 2
        throw AnnexError(
            .limit,
            "a graph of \(items) items with up to \(each) links each may have more than \(Self.links) links, which is what "
                + "serving.bin can count",
            hint: fitting >= 4
                ? "Choose HNSW\(fitting), or an inverted file such as IVF4096,SQ8"
                : "Choose an inverted file such as IVF4096,SQ8"
        )
    }

    /// - Throws: `.limit` where there are more items than ordinals.
    package static func check(items: Int) throws(AnnexError) {
        guard items > Limits.maximumItems else { return }
        throw AnnexError(
            .limit,
            "there are \(items) items, and an index has room for \(Limits.maximumItems)",
            hint: "Split the catalogue into several indexes"
        )
    }
}
