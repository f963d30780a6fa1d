/// The ending of a file's name, which tells its format.
struct FileEnding {
    /// Holds the ending in small letters, without its dot and without a `.gz` behind it; empty where there is none.
    let name: String
    let isGzipped: Bool

    init(_ path: String) {
        var parts = path.split(separator: ".").map { $0.lowercased() }
        self.isGzipped = parts.count > 1 && parts.last == "gz"
        if self.isGzipped { parts.removeLast() }
        self.name = parts.last ?? ""
    }
}

/// Lists the formats of factor files, by the endings of their names.
enum FactorFormats {
    static let supported =
        ".npy .npz .fvecs .csv .tsv .jsonl .w2v (word2vec binary) .vec (word2vec text), each but .npz also with .gz "
        + "behind it"
}
