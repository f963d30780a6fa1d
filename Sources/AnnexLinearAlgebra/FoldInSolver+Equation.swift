/// Solving for a history that grows.
extension FoldInSolver {
    /// The sums of a history so far, to which later events can be added.
    package struct Equation: Sendable {
        /// dimension², by columns; the lower triangle counts.
        fileprivate var matrix: [Double] = []
        fileprivate var side: [Double] = []
        package init() {}

        package var byteCount: Int { (self.matrix.capacity + self.side.capacity) * MemoryLayout<Double>.stride }
    }

    /// As `solve`, and keeps the equation. `count` is above 0.
    package func solve(
        count: Int,
        keeping equation: inout Equation,
        into target: UnsafeMutableBufferPointer<Float>,
        _ event: (Int) -> (row: UnsafePointer<Float>, weight: Double)
    ) -> Bool {
        precondition(target.count == self.dimension && count > 0, "unchecked counts")
        guard unsafe self.assemble(count, event) else { return false }
        self.keep(&equation)
        return unsafe self.finish(into: target)
    }

    /// Goes on from a kept equation: some items now have other weights, or are new. O(dimension³ / 3 + count × dimension²),
    /// whatever the history's length. Agrees with `solve` of the whole history to rounding in float64; allocates nothing.
    ///
    /// - Parameter change: the item's row, what it weighed when the equation was kept, nil if it was not there, and what it
    ///   weighs now.
    /// - Returns: false as `solve` does; the equation must not be used any more then.
    package func solve(
        count: Int,
        from equation: inout Equation,
        into target: UnsafeMutableBufferPointer<Float>,
        _ change: (Int) -> (row: UnsafePointer<Float>, old: Double?, weight: Double)
    ) -> Bool {
        let dimension = self.dimension
        precondition(target.count == dimension && equation.side.count == dimension, "unchecked dimension")
        unsafe equation.matrix.withUnsafeBufferPointer { kept in
            guard let kept = kept.baseAddress else { return }
            unsafe self.matrix.update(from: kept, count: dimension * dimension)
        }
        for place in 0..<dimension { unsafe self.side[place] = equation.side[place] }
        (self.addedCount, self.takenOffCount) = (0, 0)
        for number in 0..<count {
            let (row, old, weight) = unsafe change(number)
            guard unsafe self.add(row, from: old, to: weight) else { return false }
        }
        self.addRows()
        self.takeRowsOff()
        self.keep(&equation)
        return unsafe self.finish(into: target)
    }

    private func keep(_ equation: inout Equation) {
        let (dimension, matrix) = unsafe (self.dimension, self.matrix)
        if equation.side.count != dimension {
            equation.side = [Double](repeating: 0, count: dimension)
            equation.matrix = [Double](repeating: 0, count: dimension * dimension)
        }
        unsafe equation.matrix.withUnsafeMutableBufferPointer { kept in
            guard let kept = kept.baseAddress else { return }
            for column in 0..<dimension {
                let begin = column * dimension + column
                unsafe (kept + begin).update(from: matrix + begin, count: dimension - column)
            }
        }
        for place in 0..<dimension { equation.side[place] = unsafe self.side[place] }
    }
}
