package import AnnexCore
import COpenBLAS

/// Finds the exact top k of many queries at once, by blocked matrix products (OpenBLAS). Recall is measured against it.
///
/// The products sum in another order than the serving kernels. A score differs from that of real numbers by at most
/// (dimension + 8) 2⁻²⁴ × |q||x| on `ip`, × 1 on `cosine`, and × (|q| + |x|)² on `l2`, where it is a difference of
/// products: of rows that lie far from the origin and close together it tells less than the serving kernels do. One
/// that is no number (products that overflow both ways) ranks last.
package enum ExactSearch {
    private static let queryBlock = 256
    private static let rowBlock = 4_096

    /// Returns `queryCount` × `k` hits, each query's best first, equal scores by ordinal. O(queries × rows × dimension).
    ///
    /// - Parameters:
    ///   - k: 1 to `rowCount`.
    ///   - queries: `queryCount` × `dimension` floats, row-major.
    ///   - rows: `rowCount` rows, `stride` floats apart; `norms` their Euclidean norms.
    ///   - threads: of OpenBLAS, for the whole process until the next call.
    package static func top(
        k: Int,
        queries: Span<Float>,
        queryCount: Int,
        rows: Span<Float>,
        rowCount: Int,
        stride: Int,
        dimension: Int,
        norms: Span<Float>,
        metric: Metric,
        threads: Int,
        progress: (Double) -> Void
    ) -> [Hit] {
        precondition(k >= 1 && k <= rowCount && queries.count == queryCount * dimension, "unchecked sizes")
        precondition(rows.count >= (rowCount - 1) * stride + dimension && norms.count >= rowCount, "too few floats")
        openblas_set_num_threads(Int32(threads))
        var products = [Float](repeating: 0, count: Self.queryBlock * Self.rowBlock)
        var out: [Hit] = []
        out.reserveCapacity(queryCount * k)
        for firstQuery in Swift.stride(from: 0, to: queryCount, by: Self.queryBlock) {
            let block = min(Self.queryBlock, queryCount - firstQuery)
            let some = queries.extracting(firstQuery * dimension..<(firstQuery + block) * dimension)
            var best = (0..<block).map { _ in BestList(k: k, metric: metric) }
            let queryNorms = (0..<block).map { query in
                Self.squaredNorm(some.extracting(query * dimension..<(query + 1) * dimension))
            }
            for firstRow in Swift.stride(from: 0, to: rowCount, by: Self.rowBlock) {
                let count = min(Self.rowBlock, rowCount - firstRow)
                let end = (firstRow + count - 1) * stride + dimension
                Self.multiply(
                    some,
                    rows.extracting(firstRow * stride..<end),
                    stride,
                    dimension,
                    block,
                    count,
                    &products
                )
                for query in 0..<block {
                    Self.collect(
                        products,
                        query * Self.rowBlock,
                        count,
                        firstRow,
                        norms,
                        queryNorms[query],
                        metric,
                        &best[query]
                    )
                }
            }
            for list in best { out.append(contentsOf: list.sorted) }
            progress(Double(firstQuery + block) / Double(queryCount))
        }
        return out
    }

    /// A · Bᵀ, row-major: `block` queries by `count` rows, in lines of `rowBlock` products.
    private static func multiply(
        _ queries: Span<Float>,
        _ rows: Span<Float>,
        _ stride: Int,
        _ dimension: Int,
        _ block: Int,
        _ count: Int,
        _ products: inout [Float]
    ) {
        unsafe queries.withUnsafeBufferPointer { queries in
            unsafe rows.withUnsafeBufferPointer { rows in
                unsafe cblas_sgemm(
                    101,
                    111,
                    112,
                    Int32(block),
                    Int32(count),
                    Int32(dimension),
                    1,
                    queries.baseAddress,
                    Int32(dimension),
                    rows.baseAddress,
                    Int32(stride),
                    0,
                    &products,
                    Int32(Self.rowBlock)
                )
            }
        }
    }

    private static func squaredNorm(_ vector: Span<Float>) -> Float {
        var sum: Double = 0
        for index in vector.indices { sum += Double(vector[index]) * Double(vector[index]) }
        return Float(sum)
    }

    private static func collect(
        _ products: [Float],
        _ offset: Int,
        _ count: Int,
        _ firstRow: Int,
        _ norms: Span<Float>,
        _ squaredQueryNorm: Float,
        _ metric: Metric,
        _ best: inout BestList
    ) {
        let queryNorm = squaredQueryNorm.squareRoot()
        for column in 0..<count {
            let dot = products[offset + column]
            let norm = norms[firstRow + column]
            let score: Float =
                switch metric {
                case .ip: dot
                case .cosine: norm * queryNorm > 0 ? dot / (norm * queryNorm) : 0
                case .l2: Self.distance(squaredQueryNorm, norm * norm, dot)
                }
            best.offer(Hit(ordinal: Int32(truncatingIfNeeded: firstRow + column), score: score))
        }
    }
}

extension ExactSearch {
    /// Rounding may take it below 0; what is no number stays so.
    private static func distance(_ squareOfQuery: Float, _ square: Float, _ dot: Float) -> Float {
        let distance = squareOfQuery + square - 2 * dot
        return distance < 0 ? 0 : distance
    }
}

/// Keeps the k best of a stream, sorted by insertion: k is small (10) here.
private struct BestList {
    private(set) var sorted: [Hit] = []
    private let k: Int
    private let metric: Metric

    init(k: Int, metric: Metric) {
        self.k = k
        self.metric = metric
        self.sorted.reserveCapacity(k + 1)
    }

    /// Tells whether score `a` ranks before `b`. Any score is better than one that is no number.
    @inline(__always)
    private func isBetter(_ a: Float, than b: Float) -> Bool {
        self.metric.isBetter(a, than: b) || (b.isNaN && !a.isNaN)
    }

    /// Ordinals arrive ascending, so an equal score never displaces.
    @inline(__always)
    mutating func offer(_ hit: Hit) {
        if self.sorted.count == self.k {
            guard self.isBetter(hit.score, than: self.sorted[self.k - 1].score) else { return }
            self.sorted.removeLast()
        }
        var index = self.sorted.count
        while index > 0, self.isBetter(hit.score, than: self.sorted[index - 1].score) { index -= 1 }
        self.sorted.insert(hit, at: index)
    }
}
