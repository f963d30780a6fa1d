import AnnexCore
import AnnexStore

/// An item of a history, of a version or temporary.
package struct HistoryItem: Sendable, Equatable {
    package let ordinal: Int32
    package internal(set) var weight: Double

    package init(ordinal: Int32, weight: Double) {
        self.ordinal = ordinal
        self.weight = weight
    }
}

/// Gathers the history of one user, as far as a version knows the items: the version's history, then state events, less
/// tombstones.
///
/// The rules. Events are keyed by ids and outlive versions, so the version's cut (`trainedUntil`, T) says which of them its
/// history already has:
/// - of a user with a trained history, events later than T are added to it; a tombstone takes an item out of it, unless
///   an event at or after the tombstone and not after T says that it came back before the cut;
/// - of a user without one, all events count;
/// - of a user who was forgotten, nothing of the version counts.
/// Several events on one item add up. What was seen is every item of an event and every item left of the trained history.
///
/// Scratch of one thread: storage is reused.
struct UserHistory {
    /// Holds the items that are folded in: ordinals ascending, each once.
    private(set) var entries: [HistoryItem] = []
    /// Holds the items that are left of the trained history, ascending.
    private(set) var trained: [Int32] = []
    /// Lists items of state events, each once, ascending.
    private(set) var touched: [Int32] = []
    /// Tells whether `entries` is other than the trained history.
    private(set) var isChanged = false

    private var live: [HistoryItem] = []
    private var isSorted = false
    private var removed: [(ordinal: Int32, time: Int64, isLifted: Bool)] = []

    /// Begins with nothing.
    mutating func clear() {
        Self.empty(&self.entries)
        Self.empty(&self.trained)
        Self.empty(&self.touched)
        Self.empty(&self.live)
        Self.empty(&self.removed)
        self.isChanged = false
        self.isSorted = false
    }

    /// Storage is kept for the next user, but not that of the rare one with very many events.
    private static func empty<Element>(_ array: inout [Element]) {
        array.removeAll(keepingCapacity: array.capacity <= 1 << 16)
    }

    // MARK: What is known, in this order

    /// Takes in a tombstone. All tombstones come before the events.
    mutating func remove(_ ordinal: Int32, time: Int64) { self.removed.append((ordinal, time, false)) }

    /// Takes in an event of the state.
    ///
    /// - Parameters:
    ///   - weight: nil where it is too large to be folded in: then the item was seen, and that is all.
    ///   - cut: T, where the user has a trained history.
    mutating func add(_ ordinal: Int32, weight: Double?, time: Int64, cut: Int64?) {
        self.touched.append(ordinal)
        guard let cut, time <= cut else {
            if let weight { self.live.append(HistoryItem(ordinal: ordinal, weight: weight)) }
            return
        }
        guard let index = self.tombstone(of: ordinal), self.removed[index].time <= time else { return }
        self.removed[index].isLifted = true
    }

    /// Takes O(log tombstones) but for the first call.
    private mutating func tombstone(of ordinal: Int32) -> Int? {
        guard !self.removed.isEmpty else { return nil }
        if !self.isSorted {
            self.removed.sort { $0.ordinal < $1.ordinal }
            self.isSorted = true
        }
        var (low, high) = (0, self.removed.count)
        while low < high {
            let middle = (low + high) / 2
            if self.removed[middle].ordinal < ordinal { low = middle + 1 } else { high = middle }
        }
        return low < self.removed.count && self.removed[low].ordinal == ordinal ? low : nil
    }

    /// Takes in an item of a temporary history: it counts, whatever else is known of it, and is left out as well.
    mutating func add(session entry: HistoryItem) {
        self.touched.append(entry.ordinal)
        self.live.append(entry)
    }

    /// Ends with what the version has; nil for nothing. O(n log n).
    mutating func finish(_ history: HistoryView?) {
        // The sort is stable by the order of events, so that equal events give equal sums.
        var order = self.live.indices.map { UInt64(UInt32(bitPattern: self.live[$0].ordinal)) << 32 | UInt64($0) }
        order.sort()
        self.live = order.map { self.live[Int($0 & 0xffff_ffff)] }
        self.touched.sort()
        self.touched.dropRepeated()
        let gone = self.removed.filter { !$0.isLifted }.map(\.ordinal).sorted()
        var nextLive = 0
        var next = 0
        for number in 0..<(history?.count ?? 0) {
            guard let history else { break }
            let ordinal = history.ordinal(number)
            self.takeLive(&nextLive, below: ordinal)
            while next < gone.count, gone[next] < ordinal { next += 1 }
            if next < gone.count, gone[next] == ordinal {
                self.isChanged = true
                continue
            }
            self.trained.append(ordinal)
            self.entries.append(HistoryItem(ordinal: ordinal, weight: Double(history.weight(number))))
        }
        self.takeLive(&nextLive, below: Int32.max)
        self.isChanged = self.isChanged || !self.live.isEmpty
    }

    /// Moves live events on items below `ordinal` to the entries; those on the item of the last entry add up.
    private mutating func takeLive(_ next: inout Int, below ordinal: Int32) {
        while next < self.live.count, self.live[next].ordinal < ordinal {
            let event = self.live[next]
            next += 1
            if let last = self.entries.last, last.ordinal == event.ordinal {
                self.entries[self.entries.count - 1].weight += event.weight
            } else {
                self.entries.append(event)
            }
        }
    }

    /// Lends all items to leave out: trained ones, then touched ones; some may be in both.
    func forEachSeen(_ body: (Int32) -> Void) {
        for ordinal in self.trained { body(ordinal) }
        for ordinal in self.touched { body(ordinal) }
    }
}

extension [Int32] {
    /// Keeps one of each run of equal values.
    fileprivate mutating func dropRepeated() {
        var kept = 0
        for index in self.indices where index == 0 || self[index] != self[kept - 1] {
            self[kept] = self[index]
            kept += 1
        }
        self.removeLast(self.count - kept)
    }
}
