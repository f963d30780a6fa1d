import AnnexCore
import AnnexFormats

/// Reads the biases that become the last component of each row of a biased model: see `ModelBias`.
struct BiasColumn {
    /// It is nil where all rows have the same.
    let file: String?
    let rejects: [RejectedRow]
    private let values: [Float?]
    private let constant: Float

    /// Reads the biases of a file, and puts `constant` on top of each; without a file all rows have that.
    init(file: String?, constant: Double, skipBadRows: Bool) throws(AnnexError) {
        self.file = file
        self.constant = Float(constant)
        let content = try file.map { file throws(AnnexError) in
            try NumberFile.read(file, adding: constant, skipBadRows: skipBadRows)
        }
        self.values = content?.values ?? []
        self.rejects = content?.rejects ?? []
    }

    /// Returns the bias of a row of the factors' source, counted from 0; nil where it is bad, and behind the last.
    func value(_ row: Int) -> Float? {
        guard self.file != nil else { return self.constant }
        return row < self.values.count ? self.values[row] : nil
    }

    /// - Throws: `.badInput` where there is not one bias for each row.
    func check(rows: Int, of source: String) throws(AnnexError) {
        guard let file, self.values.count != rows else { return }
        throw AnnexError(
            .badInput,
            "has \(self.values.count) biases for \(rows) rows of \(source)",
            at: file,
            hint: "One per row, in the same order: the two files must come from the same model"
        )
    }
}

extension Recipe {
    /// Returns b_i of the items' rows; nil for a model without biases.
    func itemBiases() throws(AnnexError) -> BiasColumn? {
        guard let bias else { return nil }
        return try BiasColumn(file: self.resolve(bias), constant: 0, skipBadRows: self.skipBadRows)
    }

    /// Returns μ + b_u of the users' rows; nil for a model without biases.
    func userBiases() throws(AnnexError) -> BiasColumn? {
        guard self.bias != nil else { return nil }
        return try BiasColumn(
            file: self.userBias.map(self.resolve),
            constant: self.globalMean ?? 0,
            skipBadRows: self.skipBadRows
        )
    }
}
