import AnnexCore

/// Walks a tree of pages: a table, or the sorted values of one key.
extension PageCheck {
    mutating func walk(_ table: Table, _ kind: Kind, _ name: String? = nil) throws(AnnexError) {
        let outer = (self.lastKey, self.lowestKey)
        (self.lastKey, self.lowestKey) = (nil, nil)
        defer { (self.lastKey, self.lowestKey) = outer }
        if table.root == Table.noRoot {
            guard table.entries == 0, table.depth == 0 else { throw self.damaged("a table without a root") }
            return
        }
        guard (1...32).contains(table.depth) else { throw self.damaged("a table of depth \(table.depth)") }
        var entries: UInt64 = 0
        try self.visit(table.root, levels: table.depth, kind, name, entries: &entries)
        guard entries == table.entries else {
            throw self.damaged("a table of \(entries) entries that claims \(table.entries)")
        }
    }

    /// - Parameter levels: to go, this page included; at most 32, so the recursion is bounded.
    private mutating func visit(
        _ number: UInt64,
        levels: Int,
        _ kind: Kind,
        _ name: String?,
        entries: inout UInt64
    ) throws(AnnexError) {
        try self.claim(number, pages: 1)
        try self.read(page: number)
        let isLeaf = levels == 1
        guard self.long(0) == number, self.number(10, 2) == (isLeaf ? Flag.leaf : Flag.branch) else {
            throw self.damaged("page \(number) is no \(isLeaf ? "leaf" : "branch")")
        }
        let lower = self.number(12, 2)
        let upper = self.number(14, 2)
        let count = (lower - Self.header) / 2
        guard lower % 2 == 0, lower <= upper, upper <= self.pageBytes, count >= (isLeaf ? 1 : 2) else {
            throw self.damaged("bounds of page \(number)")
        }
        if isLeaf { return try self.visitLeaf(number, count: count, upper: upper, kind, name, entries: &entries) }
        for (child, key) in try self.children(of: number, count: count, upper: upper) {
            if let key {
                guard let lastKey, Self.precedes(lastKey, key, kind) else {
                    throw self.damaged("the order of keys of page \(number)")
                }
                self.lowestKey = key
            }
            try self.visit(child, levels: levels - 1, kind, name, entries: &entries)
        }
    }

    /// Returns the pages below a branch, each with the key from which on it is asked; the first has none.
    private func children(
        of number: UInt64,
        count: Int,
        upper: Int
    ) throws(AnnexError) -> [(page: UInt64, from: [UInt8]?)] {
        var children: [(page: UInt64, from: [UInt8]?)] = []
        children.reserveCapacity(count)
        for index in 0..<count {
            let node = try self.node(index, of: number, upper)
            let end = node + 8 + self.number(node + 6, 2)
            guard end <= self.pageBytes else { throw self.damaged("a key of page \(number)") }
            let page = UInt64(self.number(node, 4) | self.number(node + 4, 2) << 32)
            children.append((page, index == 0 ? nil : self.page.copy(node + 8..<end)))
        }
        return children
    }

    /// Tells whether a key comes before another, as LMDB orders the keys of such a tree.
    private static func precedes(_ first: [UInt8], _ second: [UInt8], _ kind: Kind) -> Bool {
        if kind == .free {
            // Both are numbers, little-endian.
            return first.count == second.count && first.reversed().lexicographicallyPrecedes(second.reversed())
        }
        return unsafe first.withUnsafeBytes { first in
            unsafe second.withUnsafeBytes { unsafe PageBuffer.precedes(first, $0) }
        }
    }

    /// Tells whether keys ascend within a leaf, and from the leaf before it.
    private mutating func checkOrder(_ keys: PageBuffer.Keys, of number: UInt64, _ kind: Kind) throws(AnnexError) {
        let first = self.page.copy(keys.first)
        if let lowestKey, Self.precedes(first, lowestKey, kind) {
            throw self.damaged("the first key of page \(number)")
        }
        if let lastKey, !Self.precedes(lastKey, first, kind) {
            throw self.damaged("the order of keys of page \(number)")
        }
        self.lowestKey = nil
        self.lastKey = self.page.copy(keys.last)
    }

    /// Returns the offset of a node in the page.
    private func node(_ index: Int, of number: UInt64, _ upper: Int) throws(AnnexError) -> Int {
        let offset = self.number(Self.header + index * 2, 2)
        guard offset >= upper, offset % 2 == 0, offset + 8 <= self.pageBytes else {
            throw self.damaged("node \(index) of page \(number)")
        }
        return offset
    }

    /// Holds the pages that a leaf leads to. They are visited once the leaf is finished, as there is one buffer for all
    /// pages.
    struct Found {
        var tables: [(table: Table, kind: Kind, name: String?)] = []
        var overflows: [(page: UInt64, bytes: Int)] = []
        /// Lists pages that are free.
        var free: [UInt64] = []
    }

    private mutating func visitLeaf(
        _ number: UInt64,
        count: Int,
        upper: Int,
        _ kind: Kind,
        _ name: String?,
        entries: inout UInt64
    ) throws(AnnexError) {
        if kind == .plain || kind == .duplicates,
            let keys = self.page.plainKeys(
                count,
                behind: upper,
                pageBytes: self.pageBytes,
                hasValues: kind == .plain
            )
        {
            entries += UInt64(count)
            return try self.checkOrder(keys, of: number, kind)
        }
        var found = Found()
        var keys: PageBuffer.Keys?
        for index in 0..<count {
            let node = try self.node(index, of: number, upper)
            let key = node + 8..<node + 8 + self.number(node + 6, 2)
            guard (1...511).contains(key.count), key.upperBound <= self.pageBytes else {
                throw self.damaged("a key of page \(number)")
            }
            if let last = keys?.last {
                let ascends =
                    kind == .free
                    ? Self.precedes(self.page.copy(last), self.page.copy(key), kind) : self.page.precedes(last, key)
                guard ascends else { throw self.damaged("the order of keys of page \(number)") }
                keys?.last = key
            } else {
                keys = PageBuffer.Keys(first: key, last: key)
            }
            let bytes = self.number(node, 4)
            let flags = self.number(node + 4, 2)
            guard let values = self.values(key.upperBound, bytes, flags: flags, kind, &found) else {
                throw self.damaged("a value of page \(number)")
            }
            if kind == .main, let table = found.tables.indices.last {
                found.tables[table].name = String(decoding: self.page.copy(key), as: UTF8.self)
            }
            entries += UInt64(values)
        }
        if let keys { try self.checkOrder(keys, of: number, kind) }
        if kind == .sorted, let name { self.sortedKeys[name, default: 0] += count }
        if kind == .main { self.tables += found.tables.count }
        guard self.tables <= 8 else { throw self.damaged("\(self.tables) tables") }
        for overflow in found.overflows {
            try self.checkOverflow(overflow.page, bytes: overflow.bytes)
            if kind == .free { found.free += try self.freePages(from: overflow.page, bytes: overflow.bytes) }
        }
        for page in found.free { try self.claimFree(page) }
        for (table, kind, name) in found.tables {
            let before = entries
            try self.walk(table, kind, name)
            if kind == .duplicates {
                let (sum, isOver) = before.addingReportingOverflow(table.entries)
                guard !isOver else { throw self.damaged("the entries of page \(number)") }
                entries = sum
            }
        }
    }

    /// Returns how many values a node holds, apart from those of tables it leads to; nil where it is none of this kind
    /// of tree.
    private func values(_ value: Int, _ bytes: Int, flags: Int, _ kind: Kind, _ found: inout Found) -> Int? {
        let isWithin = value + bytes <= self.pageBytes
        switch (kind, flags) {
        case (.main, NodeFlag.table) where isWithin && bytes == Table.byteCount && found.tables.count < 8:
            let table = self.table(at: value)
            guard table.flags == 0 || self.isState && table.flags == NodeFlag.duplicates else { return nil }
            found.tables.append((table, table.flags == 0 ? .plain : .sorted, nil))
            return 1
        case (.plain, 0) where isWithin: return 1
        case (.sorted, 0) where isWithin && (1...511).contains(bytes): return 1
        case (.duplicates, 0) where bytes == 0: return 1
        case (.plain, NodeFlag.ownPages) where value + 8 <= self.pageBytes,
            (.free, NodeFlag.ownPages) where value + 8 <= self.pageBytes:
            found.overflows.append((self.long(value), bytes))
            return 1
        case (.sorted, NodeFlag.duplicates) where isWithin: return self.pageWithin(value, bytes)
        case (.sorted, NodeFlag.duplicates | NodeFlag.table) where isWithin && bytes == Table.byteCount:
            let table = self.table(at: value)
            guard table.flags == 0, table.root != Table.noRoot else { return nil }
            found.tables.append((table, .duplicates, nil))
            return 0
        case (.free, 0) where isWithin && bytes >= 8 && bytes % 8 == 0:
            let count = self.long(value)
            guard count == UInt64(bytes / 8 - 1) else { return nil }
            for index in 0..<Int(count) { found.free.append(self.long(value + 8 + index * 8)) }
            return 1
        default: return nil
        }
    }

    private mutating func checkOverflow(_ number: UInt64, bytes: Int) throws(AnnexError) {
        let pages = (Self.header + bytes + self.pageBytes - 1) / self.pageBytes
        try self.claim(number, pages: pages)
        try self.read(page: number, bytes: Self.header)
        guard self.long(0) == number, self.number(10, 2) == Flag.overflow, self.number(12, 4) >= pages else {
            throw self.damaged("the long value at page \(number)")
        }
    }

    /// Claims pages, which must be there and which nothing else led to.
    private mutating func claim(_ first: UInt64, pages: Int) throws(AnnexError) {
        guard first >= 2, first <= self.lastPage, let start = Int(exactly: first), start < self.seen.count,
            pages <= self.seen.count - start, UInt64(pages - 1) <= self.lastPage - first
        else { throw self.damaged("page \(first) is not in the file") }
        for page in start..<start + pages {
            guard !self.seen[page] else { throw self.damaged("page \(page) is reached twice") }
            self.seen[page] = true
        }
    }
}
