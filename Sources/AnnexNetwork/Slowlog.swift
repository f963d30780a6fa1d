/// The last commands that took longer than a threshold. Belongs to one event loop; bounded in entries and in the size
/// of each.
struct Slowlog: Sendable {
    struct Entry: Sendable {
        let id: Int
        /// Unix time in seconds when the command ended.
        let time: Int
        let microseconds: Int
        /// Shortened; passwords left out.
        let arguments: [String]
        let address: String
        let name: String
    }

    static let maximumArguments = 32
    static let maximumArgumentBytes = 128

    /// Oldest first.
    private(set) var entries: [Entry] = []
    /// Entries kept; the oldest go first. O(entries) when full, which is rare.
    var length: Int { didSet { self.trim() } }

    init(length: Int) { self.length = max(length, 0) }

    mutating func append(_ entry: Entry) {
        self.entries.append(entry)
        self.trim()
    }

    mutating func reset() { self.entries.removeAll() }

    private mutating func trim() {
        let excess = self.entries.count - self.length
        if excess > 0 { self.entries.removeFirst(excess) }
    }
}
