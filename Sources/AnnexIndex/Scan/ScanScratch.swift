import AnnexCore
import CAnnexKernels

/// Holds one thread's memory for scans: the query in codes, the clusters in order, the pool. It grows when a larger
/// layout comes, so a query allocates nothing.
///
/// It is not thread-safe.
@safe final class ScanScratch {
    /// Holds a cluster, and an upper bound on the scores of its items.
    struct Candidate {
        var bound: Float
        var cluster: Int32

        /// A bound that is no number (infinity × 0) rules nothing out: it counts as infinite, so that it sorts.
        @inline(__always)
        init(bound: Float, cluster: Int32) {
            self.bound = bound.isNaN ? .infinity : bound
            self.cluster = cluster
        }
    }

    /// Holds the query as the layout encodes rows: with the mean taken off on l2; zeros behind the last component,
    /// codes too, up to the next multiple of 64.
    private(set) var vector: UnsafeMutablePointer<Float>
    private(set) var codes: UnsafeMutablePointer<Int8>
    /// Each cluster has one; the room is rounded up to whole blocks.
    private(set) var products: UnsafeMutablePointer<Float>
    private(set) var candidates: UnsafeMutablePointer<Candidate>
    private var components = 0
    private var clusters = 0
    // Read in the innermost loops, and by one thread: run-time checks of exclusive access are left out.
    @exclusivity(unchecked) var pool = CAnnexKernels_Pool()
    /// Holds the nearest clusters.
    @exclusivity(unchecked) var clusterPool = CAnnexKernels_Pool()
    let walk = WalkScratch()
    /// Blocks of items whose codes the present search has read.
    var blocksRead = 0
    /// Holds the first of `candidates`: those that the present search has scanned.
    var clustersScanned = 0
    let slots = UnsafeMutablePointer<UInt32>.allocate(capacity: ScanShape.blockItems)
    let scores = UnsafeMutablePointer<Float>.allocate(capacity: ScanShape.blockItems)
    /// Holds items that wait for their exact scores, up to two blocks of them.
    private let waiting = UnsafeMutablePointer<Int32>.allocate(capacity: 2 * ScanShape.blockItems)
    private let exactScores = UnsafeMutablePointer<Float>.allocate(capacity: 2 * ScanShape.blockItems)
    private(set) var pending = 0
    /// Tells whether the present search has reached its limit: see `SearchLimit`.
    var isUnfinished = false
    var mostBlocks = Int.max
    var nextLook = Int.max
    var stop: StopSignal?

    init() {
        unsafe self.vector = .allocate(capacity: 1)
        unsafe self.codes = .allocate(capacity: 1)
        unsafe self.products = .allocate(capacity: 1)
        unsafe self.candidates = .allocate(capacity: 1)
    }

    deinit {
        unsafe self.vector.deallocate()
        unsafe self.codes.deallocate()
        unsafe self.products.deallocate()
        unsafe self.candidates.deallocate()
        unsafe self.slots.deallocate()
        unsafe self.scores.deallocate()
        unsafe self.waiting.deallocate()
        unsafe self.exactScores.deallocate()
    }

    @inline(__always)
    func addPending(_ ordinal: Int32) {
        unsafe self.waiting[self.pending] = ordinal
        self.pending += 1
    }

    /// Lends the items that wait, and room for their scores; none waits from then on.
    @inline(__always)
    func withPending(_ body: (UnsafeBufferPointer<Int32>, UnsafeMutableBufferPointer<Float>) -> Void) {
        let count = self.pending
        self.pending = 0
        unsafe body(
            UnsafeBufferPointer(start: self.waiting, count: count),
            UnsafeMutableBufferPointer(start: self.exactScores, count: count)
        )
    }

    static func components(_ shape: ScanShape) -> Int { (shape.dimension + 63) / 64 * 64 }

    func reserve(_ shape: ScanShape) {
        let components = Self.components(shape)
        if self.components < components {
            unsafe self.vector.deallocate()
            unsafe self.codes.deallocate()
            self.components = components
            unsafe self.vector = .allocate(capacity: self.components)
            unsafe self.codes = .allocate(capacity: self.components)
        }
        let clusters = shape.centroidBlocks * ScanShape.blockItems
        if self.clusters < clusters {
            unsafe self.products.deallocate()
            unsafe self.candidates.deallocate()
            self.clusters = clusters
            unsafe self.products = .allocate(capacity: clusters)
            unsafe self.candidates = .allocate(capacity: clusters)
        }
    }

    /// Counts items that would have entered the pool but were left out.
    var skipped: Int { unsafe Int(self.pool.skipped) }

    /// Lends the ordinals in the pool, best first, and their scores.
    func withFound(_ body: (UnsafeBufferPointer<Int32>, UnsafeBufferPointer<Float>) -> Void) {
        unsafe Self.withFound(&self.pool, body)
    }

    static func withFound(
        _ pool: inout CAnnexKernels_Pool,
        _ body: (UnsafeBufferPointer<Int32>, UnsafeBufferPointer<Float>) -> Void
    ) {
        let capacity = Int(pool.capacity)
        unsafe withUnsafeMutablePointer(to: &pool) { pool in
            let bytes = UnsafeRawPointer(pool)
            let scores = unsafe bytes.assumingMemoryBound(to: Float.self)
            let ordinals = unsafe (bytes + 4 * CAnnexKernels_maximumPool).assumingMemoryBound(to: Int32.self)
            var count = 0
            while count < capacity, unsafe ordinals[count] >= 0 { count += 1 }
            unsafe body(
                UnsafeBufferPointer(start: ordinals, count: count),
                UnsafeBufferPointer(start: scores, count: count)
            )
        }
    }
}
