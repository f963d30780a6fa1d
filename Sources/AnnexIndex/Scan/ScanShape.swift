import AnnexCore

/// The sizes of a scan layout, and so the offset of each part in `serving.bin`. O(1).
///
/// Parts follow each other, each from a multiple of 64 bytes on, in the order of the members here; all numbers are
/// little-endian. Nothing in the file says where a part lies: the counts do.
struct ScanShape: Equatable {
    static let headerBytes = 64
    static let magic: UInt64 = 0x4e_43_53_58_45_4e_4e_41  // "ANNEXSCN"
    /// 3 has bounds that hold for rows close together and for rows without one. 2 is read as well, and its bounds are widened
    /// (`ScanTarget.widenBounds`).
    static let format: UInt32 = 3
    static let formatWithNarrowBounds: UInt32 = 2
    static let blockItems = 32

    var metric: Metric
    var rows: Int
    var dimension: Int
    /// Blocks of 32 items, in all and before the first cluster.
    var blocks: Int
    var headBlocks: Int
    /// Counts the clusters by direction behind the head.
    var clusters: Int
    var arrangement = Arrangement.blocks

    /// Says in which order codes lie in memory.
    enum Arrangement: Equatable {
        /// 32 items are interleaved, for scans.
        case blocks
        /// One item stands behind the other, with links from each to others, for walks. All blocks are head then, and item p
        /// of the scan is row p.
        case graph(links: Int)
    }

    /// Counts the components of a code row, divided by four.
    var groups: Int { (self.dimension + 3) / 4 }
    var blockCodeBytes: Int { self.groups * 4 * Self.blockItems }
    var isGraph: Bool { self.arrangement != .blocks }
    var links: Int { if case .graph(let links) = self.arrangement { links } else { 0 } }
    /// Walks begin at the best of the first slots, so many, which a scan finds.
    var seeds: Int { self.isGraph ? Self.seeds(of: self.rows) : 0 }
    static func seeds(of rows: Int) -> Int { min(512, (rows + 7) / 8) }
    var seedBlocks: Int { (self.seeds + Self.blockItems - 1) / Self.blockItems }
    /// Counts bytes from one row of codes to the next; 0 where they lie in blocks.
    var stride: Int { self.isGraph ? (self.dimension + 63) / 64 * 64 : 0 }
    var centroidBlocks: Int { (self.clusters + Self.blockItems - 1) / Self.blockItems }
    var hasBiases: Bool { self.metric == .l2 }
    /// Tells whether codes are of rows with the mean taken off. Inner products are encoded as they come: the shortest
    /// rows would lose by it, and rank last without.
    var isCentered: Bool { self.metric != .ip }

    /// Says at which byte each part begins.
    struct Offsets {
        /// Each item has these parts.
        var codes = 0
        var scales = 0
        var biases = 0
        var ordinals = 0
        /// Each block has these parts: the largest part along the centroid and across it and the smallest along, from
        /// here to the end of the cluster; the largest norm and the largest length of what the codes leave out, in the
        /// block.
        var along = 0
        var across = 0
        var leastAlong = 0
        var norms = 0
        var errors = 0
        /// Each cluster has its first block here; one element stands behind the last cluster.
        var firstBlocks = 0
        /// Each cluster has its unit vector in float32 (groups * 4 components), and in codes.
        var centroids = 0
        var centroidCodes = 0
        var centroidScales = 0
        /// The mean of all rows, which is taken off each before it is encoded: groups * 4 components.
        var center = 0
        /// Only a graph has these: where the links of each item begin, with one element behind the last item; and all
        /// links, each the slot of an item.
        var linkStarts = 0
        var links = 0
        /// Only a graph has this: the first blocks once more, interleaved.
        var seedCodes = 0
        var end = 0
    }

    var offsets: Offsets {
        var at = Self.headerBytes
        func part(_ bytes: Int) -> Int {
            let start = at
            at += (bytes + 63) / 64 * 64
            return start
        }
        let items = self.blocks * Self.blockItems
        var offsets = Offsets()
        offsets.codes = part(self.isGraph ? items * self.stride : self.blocks * self.blockCodeBytes)
        offsets.scales = part(items * 4)
        offsets.biases = part(self.hasBiases ? items * 4 : 0)
        offsets.ordinals = part(items * 4)
        offsets.along = part(self.blocks * 4)
        offsets.across = part(self.blocks * 4)
        offsets.leastAlong = part(self.blocks * 4)
        offsets.norms = part(self.blocks * 4)
        offsets.errors = part(self.blocks * 4)
        offsets.firstBlocks = part((self.clusters + 1) * 4)
        offsets.centroids = part(self.clusters * self.groups * 16)
        offsets.centroidCodes = part(self.centroidBlocks * self.blockCodeBytes)
        offsets.centroidScales = part(self.centroidBlocks * Self.blockItems * 4)
        offsets.center = part(self.isCentered ? self.groups * 16 : 0)
        offsets.linkStarts = part(self.isGraph ? (self.rows + 1) * 4 : 0)
        offsets.links = part(self.links * 4)
        offsets.seedCodes = part(self.seedBlocks * self.blockCodeBytes)
        offsets.end = at
        return offsets
    }

    /// Tells whether counts from a file make sense. No size computed from them then overflows.
    var isPossible: Bool {
        (1...Limits.maximumItems).contains(self.rows) && (1...Limits.maximumDimension).contains(self.dimension)
            && (0...Limits.maximumNprobe).contains(self.clusters)
            && self.headBlocks >= 0 && self.blocks >= max(1, self.headBlocks)
            && self.blocks <= self.rows / Self.blockItems + self.clusters + 2
            && (self.clusters > 0 || self.headBlocks == self.blocks)
            && (!self.isGraph || (self.clusters == 0 && self.blocks == (self.rows + 31) / 32))
            && self.links <= Int(UInt32.max)
    }
}
