import AnnexCore

/// Says what is wrong with a row.
struct RowProblem: Error, Equatable {
    var reason: String
    /// Counted from 0; nil where the whole row is at fault.
    var column: Int?
    /// Advises what to do beyond mending the row. It is nil where there is nothing else.
    var hint: String?
    /// Tells whether it is a time that seems to be in seconds, microseconds or nanoseconds.
    var isUnitOfTime = false

    init(_ reason: String, column: Int? = nil, hint: String? = nil) {
        (self.reason, self.column, self.hint) = (reason, column, hint)
    }
}

/// Checks rows on their way into a block. A bad row is an error, or is noted where bad rows are skipped.
struct RowGate {
    let path: String
    let skipBadRows: Bool
    /// Searches with this metric set the bounds of rows' lengths; nil where rows are no vectors to search for.
    let metric: Metric?
    private(set) var rejects: [RejectedRow] = []

    init(path: String, skipBadRows: Bool, metric: Metric? = nil) {
        (self.path, self.skipBadRows, self.metric) = (path, skipBadRows, metric)
    }

    /// - Parameter row: counted from 0.
    mutating func reject(row: Int, _ problem: RowProblem) throws(AnnexError) {
        guard self.skipBadRows else {
            let location = problem.column.map { "\(self.path):\(row + 1):\($0 + 1)" } ?? "\(self.path):\(row + 1)"
            throw AnnexError(
                .badInput,
                problem.reason,
                at: location,
                hint: "Rows and columns count from 1. "
                    + (problem.hint.map { $0 + ", or give --skip-bad-rows" } ?? "Mend it, or give --skip-bad-rows")
            )
        }
        let column = problem.column.map { $0 + 1 }
        self.rejects.append(RejectedRow(row: row + 1, column: column, reason: problem.reason))
    }

    /// Takes over the row that was just appended to `block.values`, or takes it off again.
    mutating func settle(
        _ block: inout RowBlock,
        row: Int,
        dimension: Int,
        identifier: Identifier?
    ) throws(AnnexError) {
        if let problem = self.problem(block.values[(block.values.count - dimension)...]) {
            block.values.removeLast(dimension)
            return try self.reject(row: row, problem)
        }
        if let identifier { block.identifiers.append(identifier) }
        block.rowNumbers.append(row)
        block.lines.append(row)
        block.count += 1
    }

    /// Settles `rows` rows without ids that `block.values` holds already; the good ones move up.
    mutating func settleAll(
        _ block: inout RowBlock,
        firstRow: Int,
        rows: Int,
        dimension: Int
    ) throws(AnnexError) {
        for row in 0..<rows {
            if let problem = self.problem(block.values[row * dimension..<(row + 1) * dimension]) {
                try self.reject(row: firstRow + row, problem)
                continue
            }
            if block.count < row {
                for column in 0..<dimension {
                    block.values[block.count * dimension + column] = block.values[row * dimension + column]
                }
            }
            block.rowNumbers.append(firstRow + row)
            block.lines.append(firstRow + row)
            block.count += 1
        }
        block.values.removeLast((rows - block.count) * dimension)
    }

    /// Returns the first value that is not finite, or the length of the row where no search can compute with it.
    /// O(values).
    func problem(_ values: ArraySlice<Float>) -> RowProblem? {
        var sum = 0.0
        for value in values { sum += Double(value) * Double(value) }
        // Squares of finite float32 numbers are finite in float64, and so is the sum of 4,096.
        guard sum.isFinite else { return Self.notFinite(values) }
        guard let metric, let reason = VectorLength.problem(sum.squareRoot(), metric: metric) else { return nil }
        let hint =
            sum == 0
            ? "Take metric ip or l2"
            : "Train again if the training diverged, or multiply all factors of the file by one number"
        return RowProblem(reason, hint: hint)
    }

    /// Returns the first value that is not finite; nil where all are.
    static func notFinite(_ values: ArraySlice<Float>) -> RowProblem? {
        guard let index = values.firstIndex(where: { !$0.isFinite }) else { return nil }
        let what = values[index].isNaN ? "not a number" : "infinite or beyond float32"
        return RowProblem("the value is \(what)", column: index - values.startIndex)
    }
}
