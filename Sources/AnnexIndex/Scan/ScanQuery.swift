import AnnexCore
import CAnnexKernels

/// Holds a query in codes. It lives as long as the scratch memory it lies in; nothing else may use that meanwhile.
@unsafe struct ScanQuery {
    let codes: CAnnexKernels_Query
    /// A step of a code is worth this much. Scores of a scan are in units of it.
    let scale: Float
    /// Holds the Euclidean length of the vector as it is encoded, within `ScanQuery.rounding`.
    let norm: Float
    /// On `cosine` it is the product with the mean that rows were encoded without, in units of the scale, as scores
    /// are.
    let offset: Float

    /// The error of a float32 product of this many components is less, relative to the product of the lengths: a sum in 32
    /// lanes has dimension / 32 additions and a tree of 6. The rest is room for the roundings around it.
    static func rounding(_ dimension: Int) -> Float { Float(dimension / 32 + 32) * 1.2e-7 }

    /// Returns nil where 8 bits cannot stand for the vector: all zeros, or values outside 1e-15 ... 1e15.
    init?(_ query: UnsafeBufferPointer<Float>, _ layout: ScanLayout, _ scratch: ScanScratch) {
        scratch.reserve(layout.shape)
        let components = ScanScratch.components(layout.shape)
        let vector = unsafe scratch.vector
        for component in 0..<components { unsafe vector[component] = component < query.count ? query[component] : 0 }
        let center = unsafe layout.center
        if let center = unsafe center, layout.shape.metric == .l2 {
            for component in 0..<query.count { unsafe vector[component] -= center[component] }
        }
        let largest = unsafe CAnnexKernels_largest(vector, components)
        guard largest > 1e-15, largest < 1e15 else { return nil }
        let scale = largest / 127
        let codes = unsafe scratch.codes
        unsafe CAnnexKernels_encode(vector, components, scale, codes)
        var sum: Int32 = 0
        for component in 0..<components { sum &+= Int32(unsafe codes[component]) }
        unsafe self.codes = CAnnexKernels_Query(codes: codes, correction: 128 * sum, biasFactor: 1 / scale)
        unsafe self.scale = scale
        unsafe self.norm = CAnnexKernels_dot(vector, vector, components).squareRoot()
        if let center = unsafe center, layout.shape.metric == .cosine {
            unsafe self.offset = CAnnexKernels_dot(vector, center, layout.shape.groups * 4) / scale
        } else {
            unsafe self.offset = 0
        }
    }

    /// A score by codes differs from the exact one by less than this, except for one in 700 (three standard deviations).
    /// Rounding errors of components are as good as independent, so a product with them is as small as one with a random
    /// direction (Gao and Long 2024, "RaBitQ", on why that is far less than the bound by Cauchy and Schwarz).
    func scoreErrorBound(_ layout: ScanLayout) -> Float {
        let ofRow = unsafe Self.trust(layout.shape.dimension) * layout.largestError * self.norm / self.scale
        let ofQuery = unsafe layout.largestNorm * Self.roundingDeviations
        return (ofRow * ofRow + ofQuery * ofQuery).squareRoot()
    }

    /// Returns three standard deviations of the product of two unit vectors, one of them in a random direction; at most
    /// 1.
    static func trust(_ dimension: Int) -> Float { min(1, 3 / Float(dimension).squareRoot()) }

    /// The value is three standard deviations of the error of rounding to whole numbers.
    static let roundingDeviations: Float = 3 / Float(12).squareRoot()

    /// Returns an exact score as the scan would have it, better ones higher.
    func units(_ score: Float, queryNorm: Float, _ metric: Metric) -> Float {
        switch metric {
        case .ip: return unsafe score / self.scale
        case .cosine: return unsafe score * queryNorm / self.scale - self.offset
        case .l2: return unsafe (self.norm * self.norm - score) / (2 * self.scale)
        }
    }

    /// Euclidean length of what the codes leave out, rounded up. O(dimension).
    func error(_ components: Int, _ scratch: ScanScratch) -> Float {
        var missed: Double = 0
        for component in 0..<components {
            let difference =
                unsafe Double(scratch.vector[component]) - Double(self.scale) * Double(scratch.codes[component])
            missed += difference * difference
        }
        return Float(missed.squareRoot()).nextUp
    }
}
