import AnnexCore

/// Rows on their way into a block: checks each, and throws or notes it where it is bad.
struct RowGate {
    let path: String
    let skipBadRows: Bool
    private(set) var rejects: [RejectedRow] = []

    init(path: String, skipBadRows: Bool) {
        self.path = path
        self.skipBadRows = skipBadRows
    }

    /// - Parameter row: counted from 0.
    mutating func reject(row: Int, column: Int?, _ reason: String) throws(AnnexError) {
        guard self.skipBadRows else {
            let place = column.map { "\(self.path):\(row + 1):\($0 + 1)" } ?? "\(self.path):\(row + 1)"
            throw AnnexError(
                .badInput,
                reason,
                at: place,
                hint: "Rows and columns count from 1. Mend it, or give --skip-bad-rows"
            )
        }
        self.rejects.append(RejectedRow(row: row + 1, column: column.map { $0 + 1 }, reason: reason))
    }

    /// Takes over the row that was just appended to `block.values`, or takes it off again.
    mutating func settle(
        _ block: inout RowBlock,
        row: Int,
        dimension: Int,
        identifier: Identifier?
    ) throws(AnnexError) {
        if let (column, reason) = Self.problem(block.values[(block.values.count - dimension)...]) {
            block.values.removeLast(dimension)
            return try self.reject(row: row, column: column, reason)
        }
        if let identifier { block.identifiers.append(identifier) }
        block.rowNumbers.append(row)
        block.places.append(row)
        block.count += 1
    }

    /// The same for `rows` rows without ids that `block.values` holds already; the good ones move up.
    mutating func settleAll(
        _ block: inout RowBlock,
        firstRow: Int,
        rows: Int,
        dimension: Int
    ) throws(AnnexError) {
        for row in 0..<rows {
            if let (column, reason) = Self.problem(block.values[row * dimension..<(row + 1) * dimension]) {
                try self.reject(row: firstRow + row, column: column, reason)
                continue
            }
            if block.count < row {
                for column in 0..<dimension {
                    block.values[block.count * dimension + column] = block.values[row * dimension + column]
                }
            }
            block.rowNumbers.append(firstRow + row)
            block.places.append(firstRow + row)
            block.count += 1
        }
        block.values.removeLast((rows - block.count) * dimension)
    }

    /// The first value that is not finite: its column, counted from 0, and what it is.
    static func problem(_ values: ArraySlice<Float>) -> (column: Int, reason: String)? {
        guard let place = values.firstIndex(where: { !$0.isFinite }) else { return nil }
        let what = values[place].isNaN ? "not a number" : "infinite or beyond float32"
        return (place - values.startIndex, "the value is \(what)")
    }
}
