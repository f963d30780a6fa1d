/// The formats of factor files. A new one is a case, its line of help, and its reader in `FactorSource.open`.
package enum FactorFormat: CaseIterable {
    case npy, npz, fvecs, csv, tsv, jsonl, word2vecText, word2vecBinary

    /// The endings that name the format, the usual one first.
    package var endings: [String] {
        switch self {
        case .npy: ["npy"]
        case .npz: ["npz"]
        case .fvecs: ["fvecs"]
        case .csv: ["csv"]
        case .tsv: ["tsv"]
        case .jsonl: ["jsonl"]
        case .word2vecText: ["vec", "txt"]
        case .word2vecBinary: ["w2v", "bin"]
        }
    }

    /// What the help and errors add to the endings; nil where they say it all.
    private var remark: String? {
        switch self {
        case .npz: "FILE:NAME picks an array"
        case .word2vecText: "word2vec text"
        case .word2vecBinary: "word2vec binary"
        case .npy, .fvecs, .csv, .tsv, .jsonl: nil
        }
    }

    /// The format of an ending in small letters, without its dot; nil for an ending that names none.
    init?(ending: String) {
        guard let found = Self.allCases.first(where: { $0.endings.contains(ending) }) else { return nil }
        self = found
    }

    /// All of them, as the help and errors list them.
    package static let documentation: String = {
        let list = Self.allCases.map { format in
            let endings = format.endings.map { "." + $0 }.joined(separator: " or ")
            return format.remark.map { "\(endings) (\($0))" } ?? endings
        }
        return list.joined(separator: ", ") + "; each but .npz also with .gz behind it"
    }()
}
