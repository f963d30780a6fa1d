import AnnexCore

/// Checks of what only files of the state have: several values of a key within one value, and lists of free pages.
extension PageCheck {
    /// Returns how many values a page within a value holds; nil where it is none.
    func pageWithin(_ start: Int, _ bytes: Int) -> Int? {
        guard bytes >= Self.header, bytes % 2 == 0,
            self.number(start + 10, 2) & ~Flag.dirty == Flag.leaf | Flag.within
        else { return nil }
        let lower = self.number(start + 12, 2)
        let upper = self.number(start + 14, 2)
        let count = (lower - Self.header) / 2
        guard lower % 2 == 0, lower <= upper, upper <= bytes, count >= 1 else { return nil }
        var last: Range<Int>?
        for index in 0..<count {
            let node = self.number(start + Self.header + index * 2, 2)
            guard node >= upper, node % 2 == 0, node + 8 <= bytes, self.number(start + node, 4) == 0,
                self.number(start + node + 4, 2) == 0
            else { return nil }
            let value = start + node + 8..<start + node + 8 + self.number(start + node + 6, 2)
            guard (1...511).contains(value.count), value.upperBound <= start + bytes else { return nil }
            if let last, !self.page.precedes(last, value) { return nil }
            last = value
        }
        return count
    }

    // MARK: Free pages

    /// The caller has claimed the pages of the list.
    mutating func freePages(from first: UInt64, bytes: Int) throws(AnnexError) -> [UInt64] {
        var list: [UInt64] = []
        var number = first
        var offset = Self.header
        var left: UInt64 = 0
        for index in 0..<(bytes / 8) {
            if index == 0 || offset == self.pageBytes {
                if index > 0 { (number, offset) = (number + 1, 0) }
                try self.read(page: number)
            }
            if index == 0 {
                left = self.long(offset)
                guard left < UInt64(bytes / 8) else { throw self.damaged("the free pages at page \(first)") }
            } else if left > 0 {
                list.append(self.long(offset))
                left -= 1
            }
            offset += 8
        }
        guard left == 0 else { throw self.damaged("the free pages at page \(first)") }
        return list
    }

    /// Claims a page that nothing else led to. It may lie behind the end of the file, as LMDB may never have written
    /// it.
    mutating func claimFree(_ page: UInt64) throws(AnnexError) {
        guard page >= 2, page <= self.lastPage, let index = Int(exactly: page) else {
            throw self.damaged("free page \(page) is not in the file")
        }
        guard index < self.seen.count else { return }
        guard !self.seen[index] else { throw self.damaged("page \(page) is free and used") }
        self.seen[index] = true
    }
}
