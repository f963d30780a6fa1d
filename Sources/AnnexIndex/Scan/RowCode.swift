import CAnnexKernels

/// Describes a row in 8 bits by its scale, its length and the length of its difference from the codes, the lengths
/// rounded up.
struct RowCode {
    let scale: Float
    let norm: Float
    let error: Float

    /// Writes the codes. O(dimension).
    init(_ row: [Float], _ codes: inout [Int8]) {
        let largest = row.reduce(0) { max($0, abs($1)) }
        self.scale = largest / 127
        unsafe CAnnexKernels_encode(row, row.count, self.scale, &codes)
        var square: Double = 0
        var missed: Double = 0
        for index in row.indices {
            let difference = Double(row[index]) - Double(self.scale) * Double(codes[index])
            square += Double(row[index]) * Double(row[index])
            missed += difference * difference
        }
        self.norm = Float(square.squareRoot()).nextUp
        self.error = Float(missed.squareRoot()).nextUp
    }

    /// Makes the code of a row without a bound: zeros, which say nothing of it.
    init(unboundedOf count: Int, _ codes: inout [Int8]) {
        codes = [Int8](repeating: 0, count: count)
        (self.scale, self.norm, self.error) = (0, 0, .infinity)
    }
}

extension Double {
    /// Returns the nearest float32 that is not smaller.
    var roundedUp: Float {
        let rounded = Float(self)
        return Double(rounded) < self ? rounded.nextUp : rounded
    }

    /// Returns the nearest float32 that is not larger.
    var roundedDown: Float { -(-self).roundedUp }
}
