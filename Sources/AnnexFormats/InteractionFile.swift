package import AnnexCore

/// A trainer's interactions: who did something with what, how strongly.
package enum InteractionFile {
    /// By row and column numbers: `.npz`, as `scipy.sparse.save_npz` writes a CSR matrix of users × items.
    case matrix(InteractionMatrix)
    /// By ids: `.tsv` or `.csv`, each also with `.gz` behind it.
    case text(InteractionText)

    package static let supported = ".npz (scipy.sparse.save_npz of a CSR matrix) .tsv .csv, the last two also with .gz"

    /// By the ending of the name.
    ///
    /// - Throws: as `FactorSource.open`.
    package static func open(_ path: String, skipBadRows: Bool) throws(AnnexError) -> InteractionFile {
        let gate = RowGate(path: path, skipBadRows: skipBadRows)
        switch FileEnding(path).name {
        case "npz": return .matrix(try InteractionMatrix(path, gate: gate))
        case "tsv": return .text(try InteractionText(path, gate: gate, separator: UInt8(ascii: "\t")))
        case "csv": return .text(try InteractionText(path, gate: gate, separator: UInt8(ascii: ",")))
        default:
            throw AnnexError(
                .badInput,
                "the file's ending says nothing of its format",
                at: path,
                hint: "Interactions are read from: " + Self.supported
            )
        }
    }
}
