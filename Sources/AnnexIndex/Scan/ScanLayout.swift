package import AnnexCore
import CAnnexKernels
import Glibc

/// The order in which Annex scans: 8-bit codes of all items, a head of the longest rows, then clusters by direction, with
/// an upper bound on what still stands behind each block (`serving.bin`).
///
/// Or, for a walk: the codes one after the other, and links between them.
///
/// Derived from `vectors.f32` and from the lists or links of an index, and from nothing else. A row's code is
/// round(component / scale), one scale a row, in -127...127. On `cosine` rows are made unit vectors first; on `l2` the
/// mean of all rows is taken off, and half the squared length is an item's bias, so that the score
/// q·x − |x|²/2 ranks as the distance does.
///
/// Immutable; any number of threads. Unchecked because the memory is not written after `init`.
@safe package final class ScanLayout: @unchecked Sendable {
    let shape: ScanShape
    private let base: UnsafeRawPointer
    private let mappedBytes: Int
    private let places: ScanShape.Places
    /// Of a row as it is encoded.
    let largestNorm: Float
    /// 0, 1, 2, … as the centroids' ordinals; -1 for the padding of their last block.
    private let clusterNumbers: UnsafeMutablePointer<Int32>
    /// A graph only: the place of each ordinal.
    let positions: [Int32]
    /// A graph only: the most links of an item.
    let longestList: Int

    /// Takes over a private mapping of `places.end` bytes, which has been filled.
    private init(shape: ScanShape, mapping: UnsafeRawPointer) {
        self.shape = shape
        self.places = shape.places
        self.mappedBytes = shape.places.end
        unsafe self.base = mapping
        let numbers = shape.centroidBlocks * ScanShape.blockItems
        unsafe self.clusterNumbers = .allocate(capacity: max(1, numbers))
        for place in 0..<numbers {
            unsafe self.clusterNumbers[place] = place < shape.clusters ? Int32(truncatingIfNeeded: place) : -1
        }
        let norms = unsafe (mapping + shape.places.norms).assumingMemoryBound(to: Float.self)
        self.largestNorm = unsafe UnsafeBufferPointer(start: norms, count: shape.blocks).reduce(0) { max($0, $1) }
        let ordinals = unsafe (mapping + shape.places.ordinals).assumingMemoryBound(to: Int32.self)
        var positions = [Int32](repeating: -1, count: shape.isGraph ? shape.rows : 0)
        for place in positions.indices {
            let ordinal = unsafe ordinals[place]
            if positions.indices.contains(Int(ordinal)) { positions[Int(ordinal)] = Int32(truncatingIfNeeded: place) }
        }
        self.positions = positions
        let starts = unsafe (mapping + shape.places.linkStarts).assumingMemoryBound(to: UInt32.self)
        self.longestList = positions.indices.reduce(0) { max($0, unsafe Int(starts[$1 + 1]) - Int(starts[$1])) }
    }

    /// Whether a search with this layout also needs what FAISS holds.
    package func needsFaiss(_ kind: IndexKind) -> Bool { !self.isGraph && kind.needsFaiss(self.shape.metric) }

    /// The items that an item links to; nil without a graph or such an item.
    package func links(of ordinal: Int32) -> [Int32]? {
        guard self.positions.indices.contains(Int(ordinal)) else { return nil }
        let place = Int(self.positions[Int(ordinal)])
        return unsafe (self.linkStarts[place]..<self.linkStarts[place + 1]).map { link in
            unsafe self.ordinals[Int(self.links[Int(link)])]
        }
    }

    deinit {
        unsafe self.clusterNumbers.deallocate()
        unsafe munmap(UnsafeMutableRawPointer(mutating: self.base), self.mappedBytes)
    }

    package var rows: Int { self.shape.rows }
    /// Clusters by direction; 0 where all items stand in one order.
    package var clusters: Int { self.shape.clusters }
    /// Whether there are links to walk along.
    package var isGraph: Bool { self.shape.isGraph }
    /// Bytes of all parts.
    package var byteCount: Int { self.mappedBytes + self.positions.count * 4 }

    // MARK: Making

    /// Memory for a layout, filled by `fill` and read-only from then on.
    static func make(
        _ shape: ScanShape,
        _ fill: (UnsafeMutableRawPointer, ScanShape.Places) throws(AnnexError) -> Void
    ) throws(AnnexError) -> ScanLayout {
        let memory = unsafe try Self.allocate(shape.places.end)
        do throws(AnnexError) { unsafe try fill(memory, shape.places) } catch {
            unsafe munmap(memory, shape.places.end)
            throw error
        }
        return unsafe ScanLayout(shape: shape, mapping: UnsafeRawPointer(memory))
    }

    /// Huge pages, where the kernel has them: a scan at random places then misses the address cache less often.
    private static func allocate(_ bytes: Int) throws(AnnexError) -> UnsafeMutableRawPointer {
        let memory = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
            throw AnnexError(.system, "no memory for a scan layout of \(bytes) bytes")
        }
        unsafe madvise(memory, bytes, 14)  // MADV_HUGEPAGE, which Glibc's module does not export
        return unsafe memory
    }

    // MARK: Parts

    var codes: CAnnexKernels_Codes {
        unsafe CAnnexKernels_Codes(
            codes: self.pointer(self.places.codes, UInt8.self),
            scales: self.pointer(self.places.scales, Float.self),
            biases: self.shape.hasBiases ? self.pointer(self.places.biases, Float.self) : nil,
            ordinals: self.pointer(self.places.ordinals, Int32.self),
            groups: self.shape.groups,
            stride: self.shape.stride
        )
    }

    var centroidCodes: CAnnexKernels_Codes {
        unsafe CAnnexKernels_Codes(
            codes: self.pointer(self.places.centroidCodes, UInt8.self),
            scales: self.pointer(self.places.centroidScales, Float.self),
            biases: nil,
            ordinals: UnsafePointer(self.clusterNumbers),
            groups: self.shape.groups,
            stride: 0
        )
    }

    /// The seeds of a walk once more, in blocks, as they are scanned.
    var seedCodes: CAnnexKernels_Codes {
        var codes = unsafe self.codes
        unsafe codes.codes = self.pointer(self.places.seedCodes, UInt8.self)
        unsafe codes.stride = 0
        return unsafe codes
    }

    var along: UnsafePointer<Float> { unsafe self.pointer(self.places.along, Float.self) }
    var across: UnsafePointer<Float> { unsafe self.pointer(self.places.across, Float.self) }
    var leastAlong: UnsafePointer<Float> { unsafe self.pointer(self.places.leastAlong, Float.self) }
    var norms: UnsafePointer<Float> { unsafe self.pointer(self.places.norms, Float.self) }
    var errors: UnsafePointer<Float> { unsafe self.pointer(self.places.errors, Float.self) }
    var ordinals: UnsafePointer<Int32> { unsafe self.pointer(self.places.ordinals, Int32.self) }
    var firstBlocks: UnsafePointer<UInt32> { unsafe self.pointer(self.places.firstBlocks, UInt32.self) }
    /// Of one cluster: groups * 4 floats.
    func centroid(_ cluster: Int) -> UnsafePointer<Float> {
        unsafe self.pointer(self.places.centroids, Float.self) + cluster * self.shape.groups * 4
    }
    /// Nil but on l2.
    var center: UnsafePointer<Float>? {
        self.shape.hasBiases ? unsafe self.pointer(self.places.center, Float.self) : nil
    }

    var linkStarts: UnsafePointer<UInt32> { unsafe self.pointer(self.places.linkStarts, UInt32.self) }
    var links: UnsafePointer<Int32> { unsafe self.pointer(self.places.links, Int32.self) }

    private func pointer<T>(_ place: Int, _ type: T.Type) -> UnsafePointer<T> {
        unsafe (self.base + place).assumingMemoryBound(to: type)
    }

    // MARK: Files

    /// Writes `serving.bin`. The caller flushes it to the disk.
    package func write(path: String) throws(AnnexError) {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw SystemFailure.error("cannot make the file", at: path) }
        defer { close(descriptor) }
        var done = 0
        while done < self.mappedBytes {
            let count = unsafe Glibc.write(descriptor, self.base + done, self.mappedBytes - done)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw SystemFailure.error("cannot write", at: path) }
            done += count
        }
    }

    /// Reads `serving.bin` into memory of its own and checks every number that a scan follows. O(bytes); blocks.
    ///
    /// - Throws: `.damaged` where it is no layout of `rows` × `dimension` in this metric.
    package static func load(
        path: String,
        metric: Metric,
        rows: Int,
        dimension: Int
    ) throws(AnnexError) -> ScanLayout {
        func damaged(_ what: String) -> AnnexError {
            AnnexError(.damaged, what, at: path, hint: "Run `annctl verify`; build again or roll back")
        }
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemFailure.error("cannot open", at: path) }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw SystemFailure.error("cannot read the size", at: path)
        }
        var header = [UInt8](repeating: 0, count: ScanShape.headerBytes)
        guard unsafe pread(descriptor, &header, header.count, 0) == header.count else { throw damaged("is too short") }
        guard let shape = ScanHeader.decode(header) else { throw damaged("is no scan layout of a known format") }
        guard shape.metric == metric, shape.rows == rows, shape.dimension == dimension else {
            throw damaged("is of \(shape.rows) × \(shape.dimension), the manifest says \(rows) × \(dimension)")
        }
        guard Int(status.st_size) == shape.places.end else {
            throw damaged("has \(status.st_size) bytes where its counts take \(shape.places.end)")
        }
        let layout = unsafe try Self.make(shape) { memory, places throws(AnnexError) in
            var done = 0
            while done < places.end {
                let count = unsafe pread(descriptor, memory + done, min(places.end - done, 1 << 30), done)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw SystemFailure.error("cannot read", at: path) }
                done += count
            }
        }
        if let problem = layout.structuralProblem() { throw damaged(problem) }
        return layout
    }

    /// What would lead a scan astray; nil where all is well. O(items).
    private func structuralProblem() -> String? {
        let shape = self.shape
        var last = UInt32(shape.headBlocks)
        for cluster in 0...shape.clusters {
            let first = unsafe self.firstBlocks[cluster]
            guard first >= last, Int(first) <= shape.blocks else { return "cluster \(cluster) lies out of bounds" }
            last = first
        }
        guard unsafe self.firstBlocks[0] == shape.headBlocks, last == shape.blocks else {
            return "blocks without a cluster"
        }
        var seen = [Bool](repeating: false, count: shape.rows)
        var count = 0
        for place in 0..<shape.blocks * ScanShape.blockItems {
            let ordinal = unsafe self.ordinals[place]
            guard ordinal >= 0 else { continue }
            guard ordinal < shape.rows, !seen[Int(ordinal)] else { return "an item is out of range or stands twice" }
            seen[Int(ordinal)] = true
            count += 1
        }
        guard count == shape.rows else { return "\(shape.rows - count) items are missing" }
        return shape.isGraph ? self.linkProblem() : nil
    }

    private func linkProblem() -> String? {
        let shape = self.shape
        for place in 0..<shape.rows where unsafe self.ordinals[place] < 0 { return "an item is missing among others" }
        guard unsafe self.linkStarts[0] == 0, unsafe Int(self.linkStarts[shape.rows]) == shape.links else {
            return "links without an item"
        }
        for place in 0..<shape.rows where unsafe self.linkStarts[place] > self.linkStarts[place + 1] {
            return "links of an item lie out of bounds"
        }
        var lastNamed = [Int32](repeating: -1, count: shape.rows)
        for place in 0..<shape.rows {
            for link in unsafe Int(self.linkStarts[place])..<Int(self.linkStarts[place + 1]) {
                let other = unsafe Int(self.links[link])
                guard lastNamed.indices.contains(other) else { return "a link leads nowhere" }
                guard lastNamed[other] != place else { return "an item has the same link twice" }
                lastNamed[other] = Int32(truncatingIfNeeded: place)
            }
        }
        return nil
    }
}

/// The first 64 bytes of `serving.bin`.
enum ScanHeader {
    private static let metrics: [Metric] = [.ip, .l2, .cosine]

    static func encode(_ shape: ScanShape) -> [UInt8] {
        let metric = UInt64(Self.metrics.firstIndex(of: shape.metric) ?? 0)
        let numbers: [UInt64] = [
            ScanShape.magic, UInt64(ScanShape.format) | metric << 32, UInt64(shape.rows), UInt64(shape.dimension),
            UInt64(shape.blocks), UInt64(shape.headBlocks), UInt64(shape.clusters),
            shape.isGraph ? UInt64(shape.links) + 1 : 0,
        ]
        return numbers.flatMap { number in (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
    }

    static func decode(_ bytes: [UInt8]) -> ScanShape? {
        let numbers = (0..<8).map { place in
            (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[place * 8 + $1]) << (8 * $1) }
        }
        guard numbers[0] == ScanShape.magic, numbers[1] & 0xffff_ffff == UInt64(ScanShape.format),
            Self.metrics.indices.contains(Int(clamping: numbers[1] >> 32)),
            numbers[2...7].allSatisfy({ $0 <= UInt64(UInt32.max) })
        else { return nil }
        let shape = ScanShape(
            metric: Self.metrics[Int(numbers[1] >> 32)],
            rows: Int(numbers[2]),
            dimension: Int(numbers[3]),
            blocks: Int(numbers[4]),
            headBlocks: Int(numbers[5]),
            clusters: Int(numbers[6]),
            arrangement: numbers[7] == 0 ? .blocks : .graph(links: Int(numbers[7]) - 1)
        )
        return shape.isPossible ? shape : nil
    }
}
