import COpenBLAS

/// Computes YᵀY of a factor matrix Y, which implicit-feedback ALS adds for all the items that a user did not touch.
package enum Gram {
    /// So many rows are turned into float64 at a time: 512 KiB at 128 dimensions.
    private static let blockRows = 512

    /// Returns YᵀY: `dimension` × `dimension` float64, symmetric to the bit. O(rows × dimension²).
    ///
    /// Products and sums are float64, so an entry is off by some 1e-16 × rows of its terms. Sums run in the order of the
    /// rows; with another number of threads the last bits may differ.
    ///
    /// - Parameters:
    ///   - rows: `count` rows of `dimension` finite floats, `stride` floats apart.
    ///   - threads: of OpenBLAS, for the whole process until the next call.
    ///   - progress: called with the share of rows that is done, 0 to 1.
    package static func matrix(
        rows: Span<Float>,
        count: Int,
        stride: Int,
        dimension: Int,
        threads: Int,
        progress: (Double) -> Void = { _ in }
    ) -> [Double] {
        precondition(count >= 0 && dimension >= 1 && stride >= dimension, "unchecked sizes")
        precondition(count == 0 || rows.count >= (count - 1) * stride + dimension, "too few floats")
        BLASThreads.set(threads)
        var block = [Double](repeating: 0, count: Self.blockRows * dimension)
        var sums = [Double](repeating: 0, count: dimension * dimension)
        for first in Swift.stride(from: 0, to: count, by: Self.blockRows) {
            let taken = min(Self.blockRows, count - first)
            unsafe rows.withUnsafeBufferPointer { rows in
                // There is a row, so there is an address.
                guard let base = rows.baseAddress else { return }
                unsafe Self.widen(base + first * stride, taken, stride, dimension, &block)
            }
            // The block is stored by columns: each row of Y is one of them; the lower triangle gets block · blockᵀ.
            unsafe cblas_dsyrk(
                CBLAS.columnMajor,
                CBLAS.lower,
                CBLAS.plain,
                Int32(dimension),
                Int32(taken),
                1,
                block,
                Int32(dimension),
                1,
                &sums,
                Int32(dimension)
            )
            progress(Double(first + taken) / Double(count))
        }
        for column in 0..<dimension {
            for row in column + 1..<max(dimension, column + 1) {
                sums[row * dimension + column] = sums[column * dimension + row]
            }
        }
        return sums
    }

    private static func widen(
        _ rows: UnsafePointer<Float>,
        _ count: Int,
        _ stride: Int,
        _ dimension: Int,
        _ block: inout [Double]
    ) {
        // The block has room for `blockRows` ≥ `count` rows.
        unsafe block.withUnsafeMutableBufferPointer { block in
            for row in 0..<count {
                let source = unsafe rows + row * stride
                for component in 0..<dimension { unsafe block[row * dimension + component] = Double(source[component]) }
            }
        }
    }
}

/// Names CBLAS's numbers for its options.
enum CBLAS {
    static let columnMajor: Int32 = 102
    static let plain: Int32 = 111
    static let lower: Int32 = 122
}
