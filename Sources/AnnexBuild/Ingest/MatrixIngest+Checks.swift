import AnnexCore
import AnnexFormats

extension MatrixIngest {
    static func countHint(ids: Int, rows: Int) -> String {
        ids == rows + 1
            ? "A file of ids has one per line and no heading; both files must come from the same model"
            : "The two files must come from the same model"
    }

    /// Tells whether a row has a bias, and a length with it that searches compute with.
    mutating func acceptsBias(_ row: Int, _ values: ArraySlice<Float>) throws(AnnexError) -> Bool {
        guard let bias else { return true }
        guard let value = bias.value(row) else { return false }
        let squares = values.reduce(Double(value) * Double(value)) { $0 + Double($1) * Double($1) }
        guard let problem = VectorLength.problem(squares.squareRoot(), metric: .ip) else { return true }
        let (file, reason) = (bias.file ?? self.source.path, "with the bias of the row, " + problem)
        guard self.rules.skipBadRows else {
            throw AnnexError(
                .badInput,
                reason,
                at: "\(file):\(row + 1)",
                hint: "Multiply factors, biases and mean by one number, or give --skip-bad-rows"
            )
        }
        self.rejects.append((file, RejectedRow(row: row + 1, column: nil, reason: reason)))
        return false
    }
}
