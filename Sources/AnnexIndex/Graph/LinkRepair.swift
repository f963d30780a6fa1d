/// The number of links that made every item of a graph reachable.
package struct LinkCounts: Equatable, Sendable {
    /// Counts items that no path of links led to from where walks begin.
    package var unreachable: Int
    /// Counts links that were added: often fewer, as one such item leads to others.
    package var added: Int
    /// The results of walks to some of the items themselves; nil on `ip`.
    package var looks: Looks?

    /// Links added to an item at most.
    package static let addedPerItem = 4

    package struct Looks: Equatable, Sendable {
        /// Counts items that walks looked for at first.
        package var tried: Int
        /// Counts those of them that the walks did not find.
        package var missed: Int
        /// Counts links that were added where walks ended short of what they looked for, then and in later rounds.
        package var bridges: Int
    }
}

/// Makes every item of a graph reachable.
///
/// HNSW drops the links to items that are nobody's best choice: on inner products, where long rows win, no link leads to
/// a fifth of the items or to most of them. Mean recall does not show that; rare items and filters meet it.
struct LinkRepair {
    /// Further links go to one of the items that it was linked to, so that no walk has to read hundreds of them in one step.
    private static let addedPerItem = LinkCounts.addedPerItem

    private let table: LinkTable
    private var reached: [Bool]
    private var added: [Int32: [Int32]] = [:]
    private var unreachable = 0

    /// - Parameter seeds: where walks begin.
    init(_ table: LinkTable, seeds: ArraySlice<Int32>) {
        self.table = table
        self.reached = [Bool](repeating: false, count: table.rows)
        for seed in seeds { self.reach(seed) }
        self.unreachable = self.reached.count { !$0 }
        guard let root = seeds.first else { return }
        var left = (0..<Int32(table.rows)).filter { !self.reached[Int($0)] }
        while !left.isEmpty {
            let before = left.count
            left.removeAll { self.reached[Int($0)] || self.link($0) }
            // Nothing they link to is reachable either: the first gets a link from a seed, and takes others along.
            if left.count == before { self.add(left.removeFirst(), under: root) }
        }
    }

    var counts: LinkCounts {
        LinkCounts(unreachable: self.unreachable, added: self.added.values.reduce(0) { $0 + $1.count })
    }

    /// The table with the links added.
    var repaired: LinkTable { self.added.isEmpty ? self.table : self.table.adding(self.added) }

    /// Marks an item and all that its links lead to.
    private mutating func reach(_ item: Int32) {
        guard !self.reached[Int(item)] else { return }
        self.reached[Int(item)] = true
        var stack = [item]
        while let next = stack.popLast() {
            for link in self.table[next] where !self.reached[Int(link)] {
                self.reached[Int(link)] = true
                stack.append(link)
            }
        }
    }

    /// Adds a link from one of the reachable items that this one links to, its near ones; false where there is none.
    private mutating func link(_ item: Int32) -> Bool {
        var host: Int32?
        for near in self.table[item] where self.reached[Int(near)] {
            guard let other = host else {
                host = near
                continue
            }
            if self.count(near) < self.count(other) { host = near }
        }
        guard let host else { return false }
        self.add(item, under: host)
        return true
    }

    /// Gives each item that a walk missed a link from the best of those that it found which has room for one.
    mutating func bridge(_ missed: [WalkProbe.Missed]) -> Int {
        var bridges = 0
        for miss in missed {
            guard let host = miss.found.first(where: { self.count($0) < Self.addedPerItem }) else { continue }
            self.added[host, default: []].append(miss.item)
            bridges += 1
        }
        return bridges
    }

    private func count(_ item: Int32) -> Int { self.added[item]?.count ?? 0 }

    private mutating func add(_ item: Int32, under host: Int32) {
        var host = host
        while let full = self.added[host], full.count >= Self.addedPerItem {
            host = full.min { (self.count($0), $0) < (self.count($1), $1) } ?? full[0]
        }
        self.added[host, default: []].append(item)
        self.reach(item)
    }
}
