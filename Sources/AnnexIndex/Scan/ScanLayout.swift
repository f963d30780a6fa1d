package import AnnexCore
import CAnnexKernels
import Glibc

/// Holds items in the order in which Annex scans them (`serving.bin`): 8-bit codes of all items, a head of the longest
/// rows, then clusters by direction, with an upper bound on what still stands behind each block. For a walk it holds
/// the codes one after the other, and links between them.
///
/// It is derived from `vectors.f32` and from the lists or links of an index, and from nothing else. A row's code is
/// round(component / scale), one scale a row, in -127...127. On `cosine` rows are made unit vectors first. On `cosine`
/// and `l2` the mean of all rows is taken off: what they have in common would take up most of the codes, where it tells
/// none from another. On `l2` half the squared length is an item's bias, so that the score q·x − |x|²/2 ranks as the
/// distance does; on `cosine` scores lack the product of query and mean, which is the same for all.
///
/// It is immutable, and any number of threads may use it. Unchecked because the memory is not written after `init`.
@safe package final class ScanLayout: @unchecked Sendable {
    let shape: ScanShape
    let base: UnsafeRawPointer
    let mappedBytes: Int
    private let offsets: ScanShape.Offsets
    /// Holds the largest Euclidean length of a row as it is encoded.
    let largestNorm: Float
    /// Holds the largest Euclidean length of the difference between a row and its codes. It is infinite where a row has
    /// no bound.
    let largestError: Float
    /// 0, 1, 2, …: the ordinals of centroids, or the slots of the seeds of a graph; -1 for the padding of the last block.
    private let numbers: UnsafeMutablePointer<Int32>
    /// Holds the slot of each ordinal. Only a graph has them.
    private let positions: [Int32]
    /// The most links that an item of the graph has.
    let longestList: Int

    /// Takes over a private mapping of `offsets.end` bytes, which has been filled.
    private init(shape: ScanShape, mapping: UnsafeRawPointer) {
        self.shape = shape
        self.offsets = shape.offsets
        self.mappedBytes = shape.offsets.end
        unsafe self.base = mapping
        let numbered = shape.isGraph ? shape.rows : shape.clusters
        let numbers = max(shape.seedBlocks, shape.centroidBlocks) * ScanShape.blockItems
        unsafe self.numbers = .allocate(capacity: max(1, numbers))
        for slot in 0..<numbers { unsafe self.numbers[slot] = slot < numbered ? Int32(slot) : -1 }
        let norms = unsafe (mapping + shape.offsets.norms).assumingMemoryBound(to: Float.self)
        self.largestNorm = unsafe UnsafeBufferPointer(start: norms, count: shape.blocks).reduce(0) { max($0, $1) }
        let errors = unsafe (mapping + shape.offsets.errors).assumingMemoryBound(to: Float.self)
        self.largestError = unsafe UnsafeBufferPointer(start: errors, count: shape.blocks).reduce(0) { max($0, $1) }
        let ordinals = unsafe (mapping + shape.offsets.ordinals).assumingMemoryBound(to: Int32.self)
        var positions = [Int32](repeating: -1, count: shape.isGraph ? shape.rows : 0)
        for slot in positions.indices {
            let ordinal = unsafe ordinals[slot]
            if positions.indices.contains(Int(ordinal)) { positions[Int(ordinal)] = Int32(truncatingIfNeeded: slot) }
        }
        self.positions = positions
        let starts = unsafe (mapping + shape.offsets.linkStarts).assumingMemoryBound(to: UInt32.self)
        self.longestList = positions.indices.reduce(0) { max($0, unsafe Int(starts[$1 + 1]) - Int(starts[$1])) }
    }

    /// Tells whether a search with this layout also needs what FAISS holds.
    package func needsFaiss(_ kind: IndexKind) -> Bool { !self.isGraph && kind.needsFaiss(self.shape.metric) }

    /// Returns the slot of an item of a graph.
    func slot(of ordinal: Int32) -> Int32 { self.positions[Int(ordinal)] }

    /// Returns the items that an item links to; nil without a graph or such an item.
    package func links(of ordinal: Int32) -> [Int32]? {
        guard self.positions.indices.contains(Int(ordinal)) else { return nil }
        let slot = Int(self.positions[Int(ordinal)])
        return unsafe (self.linkStarts[slot]..<self.linkStarts[slot + 1]).map { link in
            unsafe self.ordinals[Int(self.links[Int(link)])]
        }
    }

    deinit {
        unsafe self.numbers.deallocate()
        unsafe munmap(UnsafeMutableRawPointer(mutating: self.base), self.mappedBytes)
    }

    package var rows: Int { self.shape.rows }
    /// Counts clusters by direction; 0 where all items stand in one order.
    package var clusters: Int { self.shape.clusters }
    /// Tells whether there are links to walk along.
    package var isGraph: Bool { self.shape.isGraph }
    /// Counts the bytes of all parts.
    package var byteCount: Int { self.mappedBytes + self.positions.count * 4 }

    // MARK: Making

    /// Makes the memory of a layout, which `fill` fills and which is read-only from then on.
    static func make(
        _ shape: ScanShape,
        _ fill: (UnsafeMutableRawPointer, ScanShape.Offsets) throws(AnnexError) -> Void
    ) throws(AnnexError) -> ScanLayout {
        let memory = unsafe try Self.allocate(shape.offsets.end)
        do throws(AnnexError) { unsafe try fill(memory, shape.offsets) } catch {
            unsafe munmap(memory, shape.offsets.end)
            throw error
        }
        return unsafe ScanLayout(shape: shape, mapping: UnsafeRawPointer(memory))
    }

    /// Asks for huge pages, where the kernel has them: a scan that jumps then misses the address cache less often.
    private static func allocate(_ bytes: Int) throws(AnnexError) -> UnsafeMutableRawPointer {
        let memory = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
            throw AnnexError(
                .system,
                "no memory for a scan layout of \(bytes) bytes",
                hint: "Free memory and try again"
            )
        }
        unsafe madvise(memory, bytes, 14)  // MADV_HUGEPAGE, which Glibc's module does not export
        return unsafe memory
    }

    // MARK: Parts

    var codes: CAnnexKernels_Codes {
        unsafe CAnnexKernels_Codes(
            codes: self.pointer(self.offsets.codes, UInt8.self),
            scales: self.pointer(self.offsets.scales, Float.self),
            biases: self.shape.hasBiases ? self.pointer(self.offsets.biases, Float.self) : nil,
            ordinals: self.pointer(self.offsets.ordinals, Int32.self),
            groups: self.shape.groups,
            stride: self.shape.stride
        )
    }

    /// Returns minus half the squared length of each decoded row. Only codes in rows have it. O(rows × dimension).
    func halfSquares() -> [Float] {
        let codes = unsafe self.codes
        return (0..<self.rows).map { row in
            let code = unsafe codes.codes + row * codes.stride
            let square = unsafe Float(CAnnexKernels_code_product(code, code, codes.stride))
            return unsafe -codes.scales[row] * codes.scales[row] * square / 2
        }
    }

    var centroidCodes: CAnnexKernels_Codes {
        unsafe CAnnexKernels_Codes(
            codes: self.pointer(self.offsets.centroidCodes, UInt8.self),
            scales: self.pointer(self.offsets.centroidScales, Float.self),
            biases: nil,
            ordinals: UnsafePointer(self.numbers),
            groups: self.shape.groups,
            stride: 0
        )
    }

    /// The seeds of a walk once more, in blocks, as they are scanned; known by their slots.
    var seedCodes: CAnnexKernels_Codes {
        var codes = unsafe self.codes
        unsafe codes.codes = self.pointer(self.offsets.seedCodes, UInt8.self)
        unsafe codes.ordinals = UnsafePointer(self.numbers)
        unsafe codes.stride = 0
        return unsafe codes
    }

    var along: UnsafePointer<Float> { unsafe self.pointer(self.offsets.along, Float.self) }
    var across: UnsafePointer<Float> { unsafe self.pointer(self.offsets.across, Float.self) }
    var leastAlong: UnsafePointer<Float> { unsafe self.pointer(self.offsets.leastAlong, Float.self) }
    var norms: UnsafePointer<Float> { unsafe self.pointer(self.offsets.norms, Float.self) }
    var errors: UnsafePointer<Float> { unsafe self.pointer(self.offsets.errors, Float.self) }
    var ordinals: UnsafePointer<Int32> { unsafe self.pointer(self.offsets.ordinals, Int32.self) }
    var firstBlocks: UnsafePointer<UInt32> { unsafe self.pointer(self.offsets.firstBlocks, UInt32.self) }
    /// Returns the direction of a cluster: groups * 4 floats.
    func centroid(_ cluster: Int) -> UnsafePointer<Float> {
        unsafe self.pointer(self.offsets.centroids, Float.self) + cluster * self.shape.groups * 4
    }
    /// The mean that was taken off all rows; nil where none was.
    var center: UnsafePointer<Float>? {
        self.shape.isCentered ? unsafe self.pointer(self.offsets.center, Float.self) : nil
    }

    var linkStarts: UnsafePointer<UInt32> { unsafe self.pointer(self.offsets.linkStarts, UInt32.self) }
    var links: UnsafePointer<Int32> { unsafe self.pointer(self.offsets.links, Int32.self) }

    private func pointer<T>(_ offset: Int, _ type: T.Type) -> UnsafePointer<T> {
        unsafe (self.base + offset).assumingMemoryBound(to: type)
    }
}
