import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore
import Synchronization

/// Holds the history of a user who has many events and gets more, with the equation that it came to. A later event then
/// costs a factorisation, and not a look at the whole history. Any thread may use it, one at a time.
final class IncrementalFoldIn: Sendable {
    /// Shorter ones are solved as fast anew.
    static let leastEntries = 128
    /// A matrix that held a weight of this size, in units of 1 / alpha, has no room left for the rest of the history in float64
    /// when it is taken out again.
    static let largestWeight = 1e6
    /// After so many events the equation is made anew, so that rounding does not add up.
    static let mostAdditions = 4_096
    /// More new events than this are read as all others.
    static let mostAtOnce = 512
    /// Stands in place of the bytes of one that no cache holds any more.
    static let forgotten = -1

    struct State {
        /// Holds the mark of the state that the history and the equation follow from.
        var mark: StateMark
        /// Events up to this time are in the trained history. It is nil where there is none.
        var cut: Int64?
        /// Entries stand by ascending ordinal.
        var entries: [HistoryItem]
        var seen: [Int32]
        var equation: FoldInSolver.Equation
        var additions = 0
        /// Tells whether nothing may be added to it: the next read works the vector out from the whole history.
        var isSpent = false
    }

    let id: [UInt8]
    let state: Mutex<State>
    /// Holds the bytes that the cache which holds it has counted for it.
    let countedBytes = Atomic<Int>(0)
    private let bytes: Atomic<Int>

    init(_ id: Span<UInt8>, _ state: State) {
        self.id = Array(copying: id)
        self.bytes = Atomic(state.byteCount)
        self.state = Mutex(state)
    }

    /// Estimates the bytes that it held after the last change.
    var byteCount: Int { self.bytes.load(ordering: .relaxed) }

    /// Whoever changes the state says so before letting go of it.
    func changed(_ state: State) { self.bytes.store(state.byteCount, ordering: .relaxed) }
}

extension IncrementalFoldIn.State {
    static func equationBytes(_ dimension: Int) -> Int {
        (dimension * dimension + dimension) * MemoryLayout<Double>.stride
    }

    var byteCount: Int {
        512 + self.entries.capacity * MemoryLayout<HistoryItem>.stride + self.seen.capacity * 4
            + self.equation.byteCount
    }

    /// Tells whether `mark` is this with later events only, and how many.
    func events(until mark: StateMark) -> Int? {
        let new = mark.eventCount - self.mark.eventCount
        guard !self.isSpent, self.mark.counter >= mark.rewritten, self.mark.counter < mark.counter, new > 0,
            new <= IncrementalFoldIn.mostAtOnce, self.additions + new <= IncrementalFoldIn.mostAdditions
        else { return nil }
        return new
    }

    /// Adds an event. Returns what the item weighed, nil where it was not there, and weighs now.
    mutating func add(_ ordinal: Int32, _ weight: Double) -> (old: Double?, weight: Double) {
        self.additions += 1
        var (low, high) = (0, self.entries.count)
        while low < high {
            let middle = (low + high) / 2
            if self.entries[middle].ordinal < ordinal { low = middle + 1 } else { high = middle }
        }
        if low < self.entries.count, self.entries[low].ordinal == ordinal {
            let old = self.entries[low].weight
            self.entries[low].weight = old + weight
            return (old, old + weight)
        }
        self.entries.insert(HistoryItem(ordinal: ordinal, weight: weight), at: low)
        self.seen.append(ordinal)
        return (nil, weight)
    }
}
