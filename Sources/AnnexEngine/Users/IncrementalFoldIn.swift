import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore
import Synchronization

/// The history of a user who has many events and gets more, with the equation that it came to: a later event then costs a
/// factorisation, and not a look at the whole history. Any thread, one at a time.
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
    /// In place of the bytes of one that no cache holds any more.
    static let forgotten = -1

    struct State {
        /// What the history and the equation are as of.
        var mark: StateMark
        /// Events up to it are in the trained history; nil where there is none.
        var cut: Int64?
        /// Ordinals ascending.
        var entries: [UserHistory.Entry]
        var seen: [Int32]
        var equation: FoldInSolver.Equation
        var additions = 0
    }

    let id: [UInt8]
    let state: Mutex<State>
    /// What the cache that holds it has counted for it.
    let countedBytes = Atomic<Int>(0)
    private let bytes: Atomic<Int>

    init(_ id: UnsafeRawBufferPointer, _ state: State) {
        self.id = Array(id)
        self.bytes = Atomic(state.byteCount)
        self.state = Mutex(state)
    }

    /// What it holds, about, as of the last change.
    var byteCount: Int { self.bytes.load(ordering: .relaxed) }

    /// Whoever changes the state says so before letting go of it.
    func changed(_ state: State) { self.bytes.store(state.byteCount, ordering: .relaxed) }
}

extension IncrementalFoldIn.State {
    static func equationBytes(_ dimension: Int) -> Int {
        (dimension * dimension + dimension) * MemoryLayout<Double>.stride
    }

    var byteCount: Int {
        512 + self.entries.capacity * MemoryLayout<UserHistory.Entry>.stride + self.seen.capacity * 4
            + self.equation.byteCount
    }

    /// Whether `mark` is this with later events only, and how many.
    func events(until mark: StateMark) -> Int? {
        let new = mark.eventCount - self.mark.eventCount
        guard self.mark.counter >= mark.rewritten, self.mark.counter < mark.counter, new > 0,
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
        self.entries.insert(UserHistory.Entry(ordinal: ordinal, weight: weight), at: low)
        self.seen.append(ordinal)
        return (nil, weight)
    }
}

extension UserResolver {
    private struct Change {
        let ordinal: Int32
        let old: Double?
        let weight: Double

        func isGentle(_ method: FoldInModel.Method) -> Bool {
            guard case .als(_, let alpha) = method else { return true }
            return abs(self.weight) >= abs(self.old ?? 0) && abs(alpha * self.weight) <= IncrementalFoldIn.largestWeight
        }
    }

    /// Goes on from where the user's history stood, where nothing but later events came; nil where that is not so.
    func resume(
        _ view: borrowing StateView,
        _ id: UnsafeRawBufferPointer,
        _ mark: StateMark,
        _ budgetNanos: Double,
        _ query: UnsafeMutableBufferPointer<Float>
    ) throws(AnnexError) -> UserSource? {
        guard let running = self.version.incrementalFoldIns.find(id) else { return nil }
        var outcome: Result<UserSource?, AnnexError> = .success(nil)
        // Whoever finds it taken works the user out anew.
        _ = running.state.withLockIfAvailable { state in
            do throws(AnnexError) {
                guard let count = state.events(until: mark) else { return }
                let nanos = FoldInSolver.nanos(events: count, dimension: self.version.vectors.dimension)
                // Making room for an item, and what is kept of the user, grow with all that was seen.
                let keeping = Double(state.seen.count) * WorkEstimate.nanosPerKeptItem
                guard Double(nanos) + keeping <= budgetNanos else {
                    outcome = .success(.costly)
                    return
                }
                guard let events = try self.laterEvents(view, id, mark, state), let solver = self.solver else { return }
                var changes: [Change] = []
                for (ordinal, weight) in events.reversed() {
                    let (old, now) = state.add(ordinal, weight)
                    changes.append(Change(ordinal: ordinal, old: old, weight: now))
                }
                // What bends the matrix back, or beyond measure, is worked out from the whole history.
                guard changes.allSatisfy({ $0.isGentle(solver.model.method) }) else {
                    state.additions = Int.max / 2
                    return
                }
                defer { running.changed(state) }
                try self.solve(solver, changes, &state, id, query)
                state.mark = mark
                outcome = .success(.folded(self.made(id, mark, Array(query), seen: state.seen)))
            } catch {
                state.additions = Int.max / 2
                outcome = .failure(error)
            }
        }
        self.version.incrementalFoldIns.recount(running)
        return try outcome.get()
    }

    /// The events that came since, newest first, those on items that this version does not know left out.
    private func laterEvents(
        _ view: borrowing StateView,
        _ id: UnsafeRawBufferPointer,
        _ mark: StateMark,
        _ state: IncrementalFoldIn.State
    ) throws(AnnexError) -> [(Int32, Double)]? {
        guard let expected = state.events(until: mark) else { return nil }
        let newest = state.mark.newest ?? Int64.min
        var events: [(Int32, Double)] = []
        var found = 0
        var isBeforeCut = false
        var isTooLarge = false
        let limit = self.version.description.weightLimit
        try view.forEachEvent(of: id, newestFirst: true) { item, weight, time throws(AnnexError) in
            guard time > newest, found < expected else { return false }
            found += 1
            self.historyRead &+= 1
            if let cut = state.cut, time <= cut { isBeforeCut = true }
            // Solving anew leaves it out.
            if abs(weight) > limit { isTooLarge = true }
            if let ordinal = self.items.ordinal(of: item) { events.append((ordinal, weight)) }
            return true
        }
        return found == expected && !isBeforeCut && !isTooLarge ? events : nil
    }

    private func solve(
        _ solver: FoldInSolver,
        _ changes: [Change],
        _ state: inout IncrementalFoldIn.State,
        _ id: UnsafeRawBufferPointer,
        _ query: UnsafeMutableBufferPointer<Float>
    ) throws(AnnexError) {
        let begin = ContinuousClock.now
        let vectors = self.version.vectors
        let isSolved = vectors.withRows { rows in
            solver.solve(count: changes.count, from: &state.equation, into: query) { index in
                let change = changes[index]
                return (rows + Int(change.ordinal) * vectors.stride, change.old, change.weight)
            }
        }
        self.version.solves.count(ContinuousClock.now - begin)
        guard isSolved else { throw Self.noSolution(id) }
    }
}
