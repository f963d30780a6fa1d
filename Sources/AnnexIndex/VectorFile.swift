package import AnnexCore
import CAnnexKernels
import Glibc

/// Maps `vectors.f32` read-only: the rows as given to the build, and their norms.
///
/// The file has `rows` rows in ordinal order, each `stride` little-endian float32 (the dimension rounded up to a
/// multiple of 16, zeros behind the vector), then `rows` float32 Euclidean norms. A row therefore begins on a 64-byte
/// boundary. Any number of threads may read.
///
/// Unchecked because the mapping is read-only and lives as long as the object.
@safe package final class VectorFile: @unchecked Sendable {
    package let rows: Int
    package let dimension: Int
    /// Counts the floats from one row to the next.
    package let stride: Int
    private let base: UnsafeRawPointer
    private let byteCount: Int

    /// Returns how many floats lie from one row to the next for a dimension.
    package static func stride(forDimension dimension: Int) -> Int { (dimension + 15) / 16 * 16 }

    /// Returns the bytes of a file; nil where that overflows.
    package static func byteCount(rows: Int, dimension: Int) -> Int? {
        let (perRow, overflow) = (Self.stride(forDimension: dimension) + 1).multipliedReportingOverflow(by: 4)
        let (total, overflowToo) = perRow.multipliedReportingOverflow(by: rows)
        return overflow || overflowToo ? nil : total
    }

    /// - Throws: `.damaged` where the file's length is not that of `rows` × `dimension`; `.system` where it cannot be
    ///   opened or mapped.
    package init(path: String, rows: Int, dimension: Int) throws(AnnexError) {
        guard (1...Limits.maximumItems).contains(rows), (1...Limits.maximumDimension).contains(dimension),
            let byteCount = Self.byteCount(rows: rows, dimension: dimension)
        else { throw AnnexError(.damaged, "impossible size: \(rows) rows of \(dimension)", at: path) }
        let file = try OpenedFile(path: path)
        defer { file.close() }
        guard file.byteCount == byteCount else {
            throw AnnexError(
                .damaged,
                "has \(file.byteCount) bytes where \(rows) rows of \(dimension) take \(byteCount)",
                at: path,
                hint: "Run `annctl verify`; build again or roll back"
            )
        }
        guard let mapping = unsafe mmap(nil, byteCount, PROT_READ, MAP_SHARED, file.descriptor, 0),
            unsafe mapping != MAP_FAILED
        else { throw SystemFailure.error("cannot map", at: path) }
        self.rows = rows
        self.dimension = dimension
        self.stride = Self.stride(forDimension: dimension)
        unsafe self.base = UnsafeRawPointer(mapping)
        self.byteCount = byteCount
    }

    deinit { unsafe munmap(UnsafeMutableRawPointer(mutating: self.base), self.byteCount) }

    private var floats: UnsafePointer<Float> { unsafe self.base.assumingMemoryBound(to: Float.self) }

    /// Lends one row: `dimension` floats. `ordinal` must be within the rows.
    package func withRow<R>(_ ordinal: Int, _ body: (Span<Float>) throws -> R) rethrows -> R {
        precondition(ordinal >= 0 && ordinal < self.rows, "ordinal out of range")
        return try body(unsafe Span(_unsafeStart: self.floats + ordinal * self.stride, count: self.dimension))
    }

    /// Lends all rows, `stride` floats apart.
    package func withRows<R>(_ body: (Span<Float>) throws -> R) rethrows -> R {
        try body(unsafe Span(_unsafeStart: self.floats, count: self.rows * self.stride))
    }

    /// Lends the norms, one per row.
    package func withNorms<R>(_ body: (Span<Float>) throws -> R) rethrows -> R {
        try body(unsafe Span(_unsafeStart: self.floats + self.rows * self.stride, count: self.rows))
    }

    /// Rows of these lengths have their float32 scores computed without overflow or loss of digits, for queries of such
    /// lengths too.
    package static let boundedLengths: ClosedRange<Float> =
        Float(Limits.vectorLengths.lowerBound)...Float(Limits.vectorLengths.upperBound)

    /// Tells whether bounds on a row's scores can be computed: its length is 0 or one of `boundedLengths`.
    package func isBounded(_ ordinal: Int) -> Bool {
        let norm = self.norm(ordinal)
        return norm == 0 || Self.boundedLengths.contains(norm)
    }

    package func norm(_ ordinal: Int) -> Float {
        precondition(ordinal >= 0 && ordinal < self.rows, "ordinal out of range")
        return unsafe (self.floats + self.rows * self.stride)[ordinal]
    }

    /// Returns the exact float32 score of one row, with equal bits on every processor. O(dimension).
    ///
    /// - Parameter query: `dimension` floats.
    package func score(_ query: Span<Float>, queryNorm: Float, _ ordinal: Int32, _ metric: Metric) -> Float {
        unsafe query.withUnsafeBufferPointer { unsafe self.score($0, queryNorm: queryNorm, ordinal, metric) }
    }

    func score(
        _ query: UnsafeBufferPointer<Float>,
        queryNorm: Float,
        _ ordinal: Int32,
        _ metric: Metric
    ) -> Float {
        precondition(query.count == self.dimension && ordinal >= 0 && Int(ordinal) < self.rows, "out of range")
        guard let start = query.baseAddress else { return 0 }
        let row = unsafe self.floats + Int(ordinal) * self.stride
        switch metric {
        case .l2: return unsafe CAnnexKernels_l2(start, row, self.dimension)
        case .ip: return unsafe CAnnexKernels_dot(start, row, self.dimension)
        case .cosine:
            let dot = unsafe CAnnexKernels_dot(start, row, self.dimension)
            return Self.cosine(dot, queryNorm, self.norm(Int(ordinal)))
        }
    }

    /// Scores of `count` rows from `first` on, written to `out`. O(count × dimension).
    func scores(
        _ query: UnsafeBufferPointer<Float>,
        queryNorm: Float,
        first: Int,
        metric: Metric,
        into out: UnsafeMutableBufferPointer<Float>
    ) {
        guard let start = query.baseAddress, let target = out.baseAddress else { return }
        precondition(query.count == self.dimension && first >= 0 && first + out.count <= self.rows, "out of range")
        let rows = unsafe self.floats + first * self.stride
        switch metric {
        case .l2: unsafe CAnnexKernels_l2_rows(start, rows, self.stride, self.dimension, out.count, target)
        case .ip, .cosine:
            unsafe CAnnexKernels_dot_rows(start, rows, self.stride, self.dimension, out.count, target)
        }
        guard metric == .cosine else { return }
        for index in out.indices {
            unsafe target[index] = Self.cosine(target[index], queryNorm, self.norm(first + index))
        }
    }

    /// Lends the exact float32 scores of rows that stand behind each other, in a third of the time that each alone
    /// takes. It needs 4 bytes of the stack for each.
    package func forEachScore(
        _ query: Span<Float>,
        queryNorm: Float,
        of rows: Range<Int>,
        _ metric: Metric,
        _ body: (Int32, Float) -> Void
    ) {
        unsafe query.withUnsafeBufferPointer { query in
            unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: rows.count) { scores in
                unsafe self.scores(query, queryNorm: queryNorm, first: rows.lowerBound, metric: metric, into: scores)
                for index in 0..<rows.count {
                    body(Int32(truncatingIfNeeded: rows.lowerBound + index), unsafe scores[index])
                }
            }
        }
    }

    /// Scores of some rows, read together. `ordinals` are within the rows; `out` is as long.
    func scores(
        _ query: UnsafeBufferPointer<Float>,
        queryNorm: Float,
        of ordinals: UnsafeBufferPointer<Int32>,
        metric: Metric,
        into out: UnsafeMutableBufferPointer<Float>
    ) {
        guard let start = query.baseAddress, let first = ordinals.baseAddress, let target = out.baseAddress else {
            return
        }
        precondition(query.count == self.dimension && out.count >= ordinals.count, "out of range")
        for index in ordinals.indices {
            precondition(unsafe ordinals[index] >= 0 && Int(ordinals[index]) < self.rows, "ordinal out of range")
        }
        let rows = unsafe self.floats
        switch metric {
        case .l2: unsafe CAnnexKernels_l2_at(start, rows, self.stride, self.dimension, first, ordinals.count, target)
        case .ip, .cosine:
            unsafe CAnnexKernels_dot_at(start, rows, self.stride, self.dimension, first, ordinals.count, target)
        }
        guard metric == .cosine else { return }
        for index in ordinals.indices {
            unsafe target[index] = Self.cosine(target[index], queryNorm, self.norm(Int(ordinals[index])))
        }
    }

    /// A vector of length 0 is at right angles to everything.
    @inline(__always)
    private static func cosine(_ dot: Float, _ a: Float, _ b: Float) -> Float {
        let lengths = a * b
        return lengths > 0 ? dot / lengths : 0
    }
}
