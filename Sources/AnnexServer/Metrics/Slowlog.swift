/// Keeps the last commands that took longer than a threshold. It belongs to one event loop, and is bounded in entries
/// and in the size of each.
package struct Slowlog: Sendable {
    package struct Entry: Sendable {
        package let id: Int
        /// The command ended at this Unix time in seconds.
        package let time: Int
        package let microseconds: Int
        /// Arguments are shortened, and passwords are left out.
        package let arguments: [String]
        package let address: String
        package let name: String

        package init(id: Int, time: Int, microseconds: Int, arguments: [String], address: String, name: String) {
            self.id = id
            self.time = time
            self.microseconds = microseconds
            self.arguments = arguments
            self.address = address
            self.name = name
        }
    }

    package static let maximumArguments = 32
    package static let maximumArgumentBytes = 128

    /// Entries stand oldest first.
    package private(set) var entries: [Entry] = []
    /// At most so many entries are kept; the oldest go first. O(entries) when full, which is rare.
    package var length: Int { didSet { self.trim() } }

    package init(length: Int) { self.length = max(length, 0) }

    package mutating func append(_ entry: Entry) {
        self.entries.append(entry)
        self.trim()
    }

    package mutating func reset() { self.entries.removeAll() }

    private mutating func trim() {
        let excess = self.entries.count - self.length
        if excess > 0 { self.entries.removeFirst(excess) }
    }
}
