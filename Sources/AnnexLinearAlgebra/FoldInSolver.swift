import AnnexCore
import COpenBLAS
import Glibc

/// Solves for users' vectors and explains their scores, exactly (Cholesky in float64, by OpenBLAS). It is used by one
/// thread at a time; allocates nothing after `init`. `BLASThreads` must be set to 1 where several solve at a time.
///
/// The same events in the same order give the same bits. In another order sums run differently: float32 vectors then
/// agree to some 1e-7 relative; callers that give events by ascending ordinal get the same bits.
///
/// Holds dimension × (dimension + 257) float64: 394 KiB at 128.
@safe package final class FoldInSolver {
    package let model: FoldInModel
    let dimension: Int
    /// See `FoldInModel.equation`.
    private let factors: Int
    private let biasComponent: Double
    /// Holds the matrix by columns; its lower triangle counts, and becomes the Cholesky factor.
    let matrix: UnsafeMutablePointer<Double>
    /// Hold scaled rows that wait to be added and to be taken off, `blockEvents` each.
    let added: UnsafeMutablePointer<Double>
    let takenOff: UnsafeMutablePointer<Double>
    var addedCount = 0
    var takenOffCount = 0
    /// Holds the right side before a solve, and the solution after it.
    let side: UnsafeMutablePointer<Double>

    private static let blockEvents = 128

    package init(_ model: FoldInModel) {
        self.model = model
        self.dimension = model.dimension
        (self.factors, self.biasComponent) = model.equation
        unsafe self.matrix = .allocate(capacity: model.dimension * model.dimension)
        unsafe self.added = .allocate(capacity: model.dimension * Self.blockEvents)
        unsafe self.takenOff = .allocate(capacity: model.dimension * Self.blockEvents)
        unsafe self.side = .allocate(capacity: model.dimension)
        unsafe self.side.initialize(repeating: 0, count: model.dimension)
    }

    deinit {
        unsafe self.matrix.deallocate()
        unsafe self.added.deallocate()
        unsafe self.takenOff.deallocate()
        unsafe self.side.deallocate()
    }

    /// Writes the vector of a user with `count` events. O(dimension³ / 3 + count × dimension² / 2); how long that is,
    /// `nanos` says.
    ///
    /// No event at all gives the vector 0, in a biased model with μ as its last component. Several events on one item are not the same as one with the sum of their
    /// weights: add them up first.
    ///
    /// - Parameters:
    ///   - rows: of all items, `stride` floats apart.
    ///   - target: `dimension` floats; what they are where there is no solution is not defined.
    ///   - event: asked once for each of 0 ..< `count`, in order: the item's ordinal, and the weight.
    /// - Returns: false where there is no finite solution: weights that are not finite or too large, or so many that are
    ///   below 1 / alpha in size that the matrix is not positive definite.
    package func solve(
        count: Int,
        rows: Span<Float>,
        stride: Int,
        into target: inout [Float],
        _ event: (Int) -> (ordinal: Int32, weight: Double)
    ) -> Bool {
        precondition(target.count == self.dimension, "unchecked dimension")
        guard count > 0 else {
            for component in target.indices { target[component] = 0 }
            if let bias = self.model.bias { target[self.factors] = Float(bias.globalMean) }
            return true
        }
        guard self.assemble(count, rows, stride, event) else { return false }
        return self.finish(into: &target)
    }

    /// Solves what was assembled.
    func finish(into target: inout [Float]) -> Bool {
        guard self.decompose() else { return false }
        self.substitute()
        if let bias = self.model.bias { unsafe self.side[self.factors] += bias.globalMean }
        for component in 0..<self.dimension {
            let value = unsafe Float(self.side[component])
            guard value.isFinite else { return false }
            target[component] = value
        }
        return true
    }

    /// Writes the part of each event in the score (the dot product) of an item: c · yᵀA⁻¹yₑ for event e, exactly; the
    /// sum is the score, in a biased model less `FoldInModel.baseline`. One Cholesky factorisation, whatever `count`
    /// is. An item with a negative weight under ALS gives 0: it bends the matrix, and pushes nowhere by itself.
    ///
    /// - Parameters:
    ///   - item: its ordinal.
    ///   - out: `count` numbers.
    ///   - event: as in `solve`; asked twice for each.
    /// - Returns: false where there is no finite solution.
    package func contributions(
        to item: Int32,
        count: Int,
        rows: Span<Float>,
        stride: Int,
        into out: inout [Double],
        _ event: (Int) -> (ordinal: Int32, weight: Double)
    ) -> Bool {
        precondition(out.count == count, "unchecked count")
        guard count > 0 else { return true }
        guard self.assemble(count, rows, stride, event), self.decompose() else { return false }
        return unsafe rows.withUnsafeBufferPointer { rows in
            unsafe self.put(self.row(item, rows, stride), 1, at: self.side)
            self.substitute()
            for number in 0..<count {
                let (ordinal, weight) = event(number)
                let row = unsafe self.row(ordinal, rows, stride)
                var dot = 0.0
                for component in 0..<self.factors { dot += unsafe Double(row[component]) * self.side[component] }
                if self.factors < self.dimension { dot += unsafe self.biasComponent * self.side[self.factors] }
                let value = unsafe dot * self.pull(weight, row)
                guard value.isFinite else { return false }
                out[number] = value
            }
            return true
        }
    }

    /// Returns an item's row: `dimension` floats within the rows that were lent.
    @inline(__always)
    func row(_ ordinal: Int32, _ rows: UnsafeBufferPointer<Float>, _ stride: Int) -> UnsafePointer<Float> {
        let begin = Int(ordinal) * stride
        guard ordinal >= 0, begin + self.dimension <= rows.count, let base = rows.baseAddress else {
            preconditionFailure("ordinal out of range")
        }
        return unsafe base + begin
    }

    // MARK: The equation

    /// Returns the factor of an event's row on the right side.
    @inline(__always)
    private func pull(_ weight: Double, _ row: UnsafePointer<Float>) -> Double {
        switch self.model.method {
        case .als(_, let alpha): max(0, alpha * weight)
        case .ridge: unsafe weight - self.model.baseline(of: Span(_unsafeStart: row, count: self.dimension))
        }
    }

    /// Returns the factor of y yᵀ in the matrix.
    @inline(__always)
    private func stiffness(_ weight: Double) -> Double {
        switch self.model.method {
        case .als(_, let alpha): abs(alpha * weight) - 1
        case .ridge: 1
        }
    }

    /// Puts the right side and the matrix of a history together.
    func assemble(
        _ count: Int,
        _ rows: Span<Float>,
        _ stride: Int,
        _ event: (Int) -> (ordinal: Int32, weight: Double)
    ) -> Bool {
        unsafe self.side.update(repeating: 0, count: self.dimension)
        self.beginMatrix()
        (self.addedCount, self.takenOffCount) = (0, 0)
        let isPossible = unsafe rows.withUnsafeBufferPointer { rows in
            for number in 0..<count {
                let (ordinal, weight) = event(number)
                guard unsafe self.add(self.row(ordinal, rows, stride), from: nil, to: weight) else { return false }
            }
            return true
        }
        guard isPossible else { return false }
        self.addRows()
        self.takeRowsOff()
        return true
    }

    /// Has an item weigh `weight` that weighed `old`, or was not there.
    @inline(__always)
    func add(_ row: UnsafePointer<Float>, from old: Double?, to weight: Double) -> Bool {
        var pull = unsafe self.pull(weight, row)
        var stiffness = self.stiffness(weight)
        if let old {
            pull -= unsafe self.pull(old, row)
            stiffness -= self.stiffness(old)
        }
        guard pull.isFinite, stiffness.isFinite else { return false }
        let dimension = self.dimension
        if pull != 0 {
            for component in 0..<self.factors { unsafe self.side[component] += pull * Double(row[component]) }
            if self.factors < dimension { unsafe self.side[self.factors] += pull * self.biasComponent }
        }
        if stiffness > 0 {
            unsafe self.put(row, stiffness.squareRoot(), at: self.added + self.addedCount * dimension)
            self.addedCount += 1
            if self.addedCount == Self.blockEvents { self.addRows() }
        } else if stiffness < 0 {
            unsafe self.put(row, (-stiffness).squareRoot(), at: self.takenOff + self.takenOffCount * dimension)
            self.takenOffCount += 1
            if self.takenOffCount == Self.blockEvents { self.takeRowsOff() }
        }
        return true
    }

    /// Makes the matrix its Cholesky factor. Returns false where there is none.
    private func decompose() -> Bool {
        var info: Int32 = 0
        var size = Int32(self.dimension)
        unsafe dpotrf_("L", &size, self.matrix, &size, &info)
        return info == 0
    }

    /// Writes the lower triangle of YᵀY + λI for ALS, of λI for ridge.
    private func beginMatrix() {
        let (dimension, lambda) = (self.dimension, self.model.method.regularization)
        unsafe self.model.gram.withUnsafeBufferPointer { gram in
            for column in 0..<dimension {
                let (begin, count) = (column * dimension + column, dimension - column)
                if let gram = gram.baseAddress, !self.model.gram.isEmpty {
                    unsafe (self.matrix + begin).update(from: gram + begin, count: count)
                } else {
                    unsafe (self.matrix + begin).update(repeating: 0, count: count)
                }
                unsafe self.matrix[begin] += lambda
            }
        }
    }

    @inline(__always)
    private func put(_ row: UnsafePointer<Float>, _ scale: Double, at target: UnsafeMutablePointer<Double>) {
        for component in 0..<self.factors { unsafe target[component] = scale * Double(row[component]) }
        if self.factors < self.dimension { unsafe target[self.factors] = scale * self.biasComponent }
    }

    func addRows() {
        unsafe self.update(self.added, self.addedCount, 1)
        self.addedCount = 0
    }

    func takeRowsOff() {
        unsafe self.update(self.takenOff, self.takenOffCount, -1)
        self.takenOffCount = 0
    }

    /// matrix += sign × block · blockᵀ.
    private func update(_ block: UnsafePointer<Double>, _ count: Int, _ sign: Double) {
        guard count > 0 else { return }
        let dimension = Int32(self.dimension)
        unsafe cblas_dsyrk(
            CBLAS.columnMajor,
            CBLAS.lower,
            CBLAS.plain,
            dimension,
            Int32(count),
            sign,
            block,
            dimension,
            1,
            self.matrix,
            dimension
        )
    }

    /// Computes matrix⁻¹ · side, in place.
    private func substitute() {
        var size = Int32(self.dimension)
        var columns: Int32 = 1
        var info: Int32 = 0
        unsafe dpotrs_("L", &size, &columns, self.matrix, &size, self.side, &size, &info)
    }
}
