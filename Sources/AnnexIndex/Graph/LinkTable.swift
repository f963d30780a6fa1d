/// Links from each item to others, one item's behind the other's.
struct LinkTable: Equatable, Sendable {
    /// The links of an item begin at its element, and end where those of the next begin; one element stands behind the
    /// last item.
    private(set) var starts: [UInt32]
    private(set) var links: [Int32]

    /// Makes a table of items without links.
    init(rows: Int) {
        self.starts = [UInt32](repeating: 0, count: rows + 1)
        self.links = []
    }

    /// - Parameter links: of an item.
    init(rows: Int, links: (Int32) -> [Int32]) {
        self.init(rows: rows)
        for ordinal in 0..<rows {
            self.links += links(Int32(ordinal))
            self.starts[ordinal + 1] = UInt32(self.links.count)
        }
    }

    var rows: Int { self.starts.count - 1 }

    subscript(item: Int32) -> ArraySlice<Int32> {
        self.links[Int(self.starts[Int(item)])..<Int(self.starts[Int(item) + 1])]
    }

    /// Gives the same links where item `order[p]` is called p. O(links).
    func reordered(_ order: [Int32]) -> LinkTable {
        var names = [Int32](repeating: 0, count: order.count)
        for (slot, item) in order.enumerated() { names[Int(item)] = Int32(slot) }
        var out = LinkTable(rows: self.rows)
        out.links.reserveCapacity(self.links.count)
        for (slot, item) in order.enumerated() {
            for link in self[item] { out.links.append(names[Int(link)]) }
            out.starts[slot + 1] = UInt32(out.links.count)
        }
        return out
    }

    /// Gives the table with these links behind each item's own.
    func adding(_ more: [Int32: [Int32]]) -> LinkTable {
        var out = LinkTable(rows: self.rows)
        out.links.reserveCapacity(self.links.count)
        for item in 0..<Int32(self.rows) {
            out.links += self[item]
            out.links += more[item] ?? []
            out.starts[Int(item) + 1] = UInt32(out.links.count)
        }
        return out
    }
}
