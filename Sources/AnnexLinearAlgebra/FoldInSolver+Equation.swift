/// Solves for a history that grows.
extension FoldInSolver {
    /// The sums of a history so far, to which later events can be added.
    package struct Equation: Sendable {
        /// Holds dimension² numbers by columns, of which the lower triangle counts.
        fileprivate var matrix: [Double] = []
        fileprivate var side: [Double] = []
        package init() {}

        package var byteCount: Int { (self.matrix.capacity + self.side.capacity) * MemoryLayout<Double>.stride }
    }

    /// Solves as `solve` does, and keeps the equation. `count` is above 0.
    package func solve(
        count: Int,
        rows: Span<Float>,
        stride: Int,
        keeping equation: inout Equation,
        into target: inout [Float],
        _ event: (Int) -> (ordinal: Int32, weight: Double)
    ) -> Bool {
        precondition(target.count == self.dimension && count > 0, "unchecked counts")
        guard self.assemble(count, rows, stride, event) else { return false }
        self.keep(&equation)
        return self.finish(into: &target)
    }

    /// Goes on from a kept equation: some items now have other weights, or are new. O(dimension³ / 3 + count × dimension²),
    /// whatever the history's length. Agrees with `solve` of the whole history to rounding in float64; allocates nothing.
    ///
    /// - Parameter change: the item's ordinal, its weight when the equation was kept, nil if it was not there, and its weight
    ///   now.
    /// - Returns: false as `solve` does; the equation must not be used any more then.
    package func solve(
        count: Int,
        rows: Span<Float>,
        stride: Int,
        from equation: inout Equation,
        into target: inout [Float],
        _ change: (Int) -> (ordinal: Int32, old: Double?, weight: Double)
    ) -> Bool {
        let dimension = self.dimension
        precondition(target.count == dimension && equation.side.count == dimension, "unchecked dimension")
        unsafe equation.matrix.withUnsafeBufferPointer { kept in
            guard let kept = kept.baseAddress else { return }
            unsafe self.matrix.update(from: kept, count: dimension * dimension)
        }
        for component in 0..<dimension { unsafe self.side[component] = equation.side[component] }
        (self.addedCount, self.takenOffCount) = (0, 0)
        let isPossible = unsafe rows.withUnsafeBufferPointer { rows in
            for number in 0..<count {
                let (ordinal, old, weight) = change(number)
                guard unsafe self.add(self.row(ordinal, rows, stride), from: old, to: weight) else { return false }
            }
            return true
        }
        guard isPossible else { return false }
        self.addRows()
        self.takeRowsOff()
        self.keep(&equation)
        return self.finish(into: &target)
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
        for component in 0..<dimension { equation.side[component] = unsafe self.side[component] }
    }
}
