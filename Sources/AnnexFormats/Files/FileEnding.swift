/// The ending of a file's name, which tells its format.
struct FileEnding {
    /// The ending in small letters, without its dot and without a `.gz` behind it; the whole name where it has no dot.
    let name: String
    let isGzipped: Bool

    init(_ path: String) {
        var parts = path.split(separator: ".").map { $0.lowercased() }
        self.isGzipped = parts.count > 1 && parts.last == "gz"
        if self.isGzipped { parts.removeLast() }
        self.name = parts.last ?? ""
    }
}
