package import AnnexCore

/// Reads a trainer's interactions: who did something with what, how strongly.
package enum InteractionFile {
    /// Interactions stand by row and column numbers in `.npz`, as `scipy.sparse.save_npz` writes a CSR matrix of users
    /// × items.
    case matrix(InteractionMatrix)
    /// Interactions stand by ids in `.tsv` or `.csv`, each also with `.gz` behind it.
    case text(InteractionText)

    package static let supported = ".npz (scipy.sparse.save_npz of a CSR matrix) .tsv .csv, the last two also with .gz"

    /// Opens a file by the ending of its name.
    ///
    /// - Parameter columns: of a text; nil for what its heading says, or user, item, weight, time.
    /// - Throws: as `FactorSource.open`.
    package static func open(
        _ path: String,
        skipBadRows: Bool,
        columns: InteractionColumns? = nil
    ) throws(AnnexError) -> InteractionFile {
        let gate = RowGate(path: path, skipBadRows: skipBadRows)
        let separator: Separator
        switch FileEnding(path).name {
        case "npz":
            guard columns == nil else {
                throw AnnexError(.usage, "columns are of .tsv and .csv", at: path, hint: "Leave --columns out")
            }
            return .matrix(try InteractionMatrix(path, gate: gate))
        case "tsv": separator = .tab
        case "csv": separator = .comma
        default:
            throw AnnexError(
                .badInput,
                "the file's ending says nothing of its format",
                at: path,
                hint: "Interactions are read from: " + Self.supported
            )
        }
        return .text(
            try InteractionText(try ByteStream(path: path), gate: gate, format: .delimited(separator, columns))
        )
    }
}
