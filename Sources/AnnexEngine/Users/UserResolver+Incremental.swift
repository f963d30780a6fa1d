import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore
import Synchronization

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
        _ id: Span<UInt8>,
        _ mark: StateMark,
        _ budgetNanos: Double,
        _ query: inout [Float]
    ) throws(AnnexError) -> UserSource? {
        guard let running = self.known.incremental.find(id) else { return nil }
        var outcome: Result<UserSource?, AnnexError> = .success(nil)
        // Whoever finds it taken works the user out anew.
        _ = running.state.withLockIfAvailable { state in
            do throws(AnnexError) {
                guard let count = state.events(until: mark) else { return }
                let nanos = FoldInSolver.nanos(events: count, dimension: self.catalogue.dimension)
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
                // A change that bends the matrix back, or beyond measure, is worked out from the whole history.
                guard changes.allSatisfy({ $0.isGentle(solver.model.method) }) else {
                    state.isSpent = true
                    return
                }
                defer { running.changed(state) }
                try self.solve(solver, changes, &state, id, &query)
                state.mark = mark
                outcome = .success(.folded(self.made(id, mark.counter, Array(copying: query.span), seen: state.seen)))
            } catch {
                state.isSpent = true
                outcome = .failure(error)
            }
        }
        self.known.incremental.recount(running)
        return try outcome.get()
    }

    /// Returns the events that came since, newest first, those on items that this version does not know left out.
    private func laterEvents(
        _ view: borrowing StateView,
        _ id: Span<UInt8>,
        _ mark: StateMark,
        _ state: IncrementalFoldIn.State
    ) throws(AnnexError) -> [(Int32, Double)]? {
        guard let expected = state.events(until: mark) else { return nil }
        let newest = state.mark.newest ?? Int64.min
        var events: [(Int32, Double)] = []
        var found = 0
        var isBeforeCut = false
        var isTooLarge = false
        let limit = self.known.weightLimit
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
        _ id: Span<UInt8>,
        _ query: inout [Float]
    ) throws(AnnexError) {
        let begin = ContinuousClock.now
        let isSolved = self.catalogue.withRows { rows, stride in
            solver.solve(
                count: changes.count,
                rows: rows,
                stride: stride,
                from: &state.equation,
                into: &query
            ) { index in
                let change = changes[index]
                return (change.ordinal, change.old, change.weight)
            }
        }
        self.known.solves.count(ContinuousClock.now - begin)
        guard isSolved else { throw Self.noSolution(id) }
    }
}
