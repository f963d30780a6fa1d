import AnnexCore
import AnnexStore

/// Describes an item of a user's history.
package struct SeenItem: Sendable, Equatable {
    package let item: [UInt8]
    /// Holds the time of the newest event with it, in milliseconds since 1970. It is nil where only the trained history
    /// has it.
    package let time: Int64?
}

/// Collects the items of a history, each once, as far as somebody asks for them.
struct SeenList {
    private(set) var items: [SeenItem] = []
    private var names: Set<[UInt8]> = []
    let count: Int

    var isFull: Bool { self.items.count >= self.count }

    init(count: Int) { self.count = count }

    mutating func add(_ name: [UInt8], _ time: Int64?) {
        guard !self.isFull, self.names.insert(name).inserted else { return }
        self.items.append(SeenItem(item: name, time: time))
    }
}
