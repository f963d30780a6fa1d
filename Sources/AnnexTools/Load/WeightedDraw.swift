import Glibc

/// Draws one of 0..<count by weight, in O(1) out of 64 random bits: the alias method (Walker 1977, Vose 1991). 8 bytes
/// each; O(count) to make.
package struct WeightedDraw: Sendable {
    /// A column of equal share: its own number where the coin falls below `keep`, else `other`.
    private struct Column: Sendable {
        var keep: UInt32
        var other: UInt32
    }

    private let columns: [Column]

    /// - Parameter weights: 1 to 2^31 of them, none negative, with a positive sum.
    package init(weights: [Double]) {
        let count = weights.count
        let sum = weights.reduce(0, +)
        var share = weights.map { $0 / sum * Double(count) }
        var columns = (0..<count).map { Column(keep: .max, other: UInt32($0)) }
        var small = share.indices.filter { share[$0] < 1 }
        var large = share.indices.filter { share[$0] >= 1 }
        while let poor = small.popLast(), let rich = large.popLast() {
            columns[poor] = Column(keep: UInt32(share[poor] * 0x1p32), other: UInt32(rich))
            share[rich] -= 1 - share[poor]
            if share[rich] < 1 { small.append(rich) } else { large.append(rich) }
        }
        // A column that rounding alone left on one side has a share of 1, as the columns were made.
        self.columns = columns
    }

    /// Draws number n (from 0) with a weight of 1 / (n + 1)^exponent. All weights are the same at 0.
    package static func zipf(count: Int, exponent: Double) -> WeightedDraw {
        WeightedDraw(weights: (1...count).map { pow(Double($0), -exponent) })
    }

    /// The upper half of `bits` chooses a column, the lower half throws its coin.
    package func draw(_ bits: UInt64) -> Int {
        let column = Int(((bits >> 32) &* UInt64(self.columns.count)) >> 32)
        let found = self.columns[column]
        return UInt32(truncatingIfNeeded: bits) < found.keep ? column : Int(found.other)
    }
}
