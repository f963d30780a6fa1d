import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore

/// Says where a user's vector comes from.
enum UserSource {
    /// Nobody knows the user.
    case unknown
    /// The version has the vector as it is.
    case stored
    /// The vector was worked out from the state. It is nil where nothing is left to make one from.
    case folded(ResolvedUser)
    /// The vector was worked out for this query only; `history` says from what.
    case session
    /// Working it out takes longer than was allowed; nothing was done.
    case costly
}

/// Resolves users as of now for one thread, from the version's vectors and histories and the state's events.
///
/// A user whom the state does not mention costs one look-up more than without a state. One it does is worked out at the
/// first read after a change and kept under the change's counter, so nothing has to be invalidated, and a new version
/// solves nobody up front.
final class UserResolver {
    /// Looking an item up and taking stock of it takes so long, for whoever decides where that runs.
    private static let nanosPerEvent = 300.0

    let known: KnownUsers
    let catalogue: Catalogue
    let users: UserReader?
    let items: CatalogueReader
    let state: StateReader?
    @safe @exclusivity(unchecked) var history = UserHistory()
    /// Counts events, tombstones and trained items that were read.
    @safe @exclusivity(unchecked) var historyRead = 0
    private let table = ResolvedUserTable()
    private var ownSolver: FoldInSolver?
    /// The equation of the last solve of a long history.
    private var lastEquation: FoldInSolver.Equation?

    init(_ known: KnownUsers, _ catalogue: Catalogue, _ items: CatalogueReader) throws(AnnexError) {
        self.known = known
        self.catalogue = catalogue
        self.items = items
        self.users = try known.store.map { users throws(AnnexError) in try users.makeReader() }
        self.state = try known.state.map { state throws(AnnexError) in try state.makeReader() }
    }

    /// Writes the user's vector of now.
    ///
    /// - Parameters:
    ///   - session: a temporary history, folded in with the rest; nil for none.
    ///   - budgetNanos: what working it out may take, about.
    ///   - query: as many floats as a stored vector has; untouched where there is no vector.
    /// - Throws: `.badInput` where the history has no solution, or as the state does.
    func use(
        _ id: Span<UInt8>,
        session: [HistoryItem]?,
        budgetNanos: Double,
        into query: inout [Float]
    ) throws(AnnexError) -> UserSource {
        if let session { return try self.useSession(id, session, budgetNanos, &query) }
        if let state {
            let found = try state.withRead { view throws(AnnexError) -> UserSource? in
                guard let mark = try view.mark(of: id) else { return try view.hasForgotten(id) ? .unknown : nil }
                if let known = self.kept(mark.counter, id) { return .folded(known) }
                if let source = try self.resume(view, id, mark, budgetNanos, &query) { return source }
                guard self.nanos(id, events: mark.eventCount) <= budgetNanos else { return .costly }
                return .folded(try self.fold(view, id, mark, &query))
            }
            if let found {
                if case .folded(let user) = found, let vector = user.vector {
                    query.overwrite(with: vector.span)
                }
                return found
            }
        }
        return self.copyStored(id, &query) ? .stored : .unknown
    }

    func copyStored(_ id: Span<UInt8>, _ query: inout [Float]) -> Bool {
        self.users?.copyVector(of: id, into: &query) ?? false
    }

    /// Says how the items of a trained history were given.
    enum Trained {
        /// Each was lent; perhaps there was none.
        case lent
        /// They are many, and what was made of them has them.
        case marked(ResolvedUser)
        /// It takes longer than was allowed; nothing was done.
        case costly
    }

    /// Lends the items of a trained history, or where they are many what was made of them before.
    func forEachTrained(
        _ id: Span<UInt8>,
        budgetNanos: Double,
        _ body: (Int32) -> Void
    ) -> Trained {
        guard let users else { return .lent }
        return users.withHistory(of: id) { history in
            guard let history else { return .lent }
            let areMany = ResolvedUser.areMany(history.count, of: self.catalogue.count)
            // No change has this counter.
            if areMany, let known = self.kept(0, id) { return .marked(known) }
            let isShort =
                areMany
                ? Double(history.count) * WorkEstimate.nanosPerKeptItem <= budgetNanos
                : WorkEstimate.isShort(marks: history.count, budgetNanos)
            guard isShort else { return .costly }
            self.historyRead &+= history.count
            if areMany { return .marked(self.marked(id, history)) }
            for index in 0..<history.count { body(history.ordinal(index)) }
            return .lent
        }
    }

    /// Returns a user whom the state does not mention, with marks. The user is kept where those lie whom it does
    /// mention.
    private func marked(_ id: Span<UInt8>, _ history: HistoryView) -> ResolvedUser {
        let seen = (0..<history.count).map { history.ordinal($0) }
        return self.made(id, 0, nil, isSolved: false, seen: seen)
    }

    private func kept(_ counter: UInt64, _ id: Span<UInt8>) -> ResolvedUser? {
        if let own = self.table.find(counter, id) { return own }
        guard let shared = self.known.resolved.find(counter, id) else { return nil }
        self.table.put(shared)
        return shared
    }

    /// Returns an estimate from above: whether there is anything to solve is known only once the events were read.
    private func nanos(_ id: Span<UInt8>, events: Int) -> Double {
        let trained = self.users?.withHistory(of: id) { $0?.count ?? 0 } ?? 0
        let reading = Double(events) * Self.nanosPerEvent
        guard self.known.foldIn != nil else { return reading }
        let dimension = self.catalogue.dimension
        return reading + Double(FoldInSolver.nanos(events: events + trained, dimension: dimension))
    }

    // MARK: Working it out

    private func fold(
        _ view: borrowing StateView,
        _ id: Span<UInt8>,
        _ mark: StateMark,
        _ query: inout [Float]
    ) throws(AnnexError) -> ResolvedUser {
        let known = try self.gather(view, id)
        self.known.solves.leftOut(known.leftOut)
        self.finish(known, id)
        let vector = try self.makeVector(known, id, &query)
        var seen: [Int32] = []
        seen.reserveCapacity(self.history.trained.count + self.history.touched.count)
        self.history.forEachSeen { seen.append($0) }
        if vector == .solved, let equation = self.lastEquation.take() {
            let cut = known.hasHistory ? self.known.trainedUntil : nil
            let entries = self.history.entries
            let state = IncrementalFoldIn.State(mark: mark, cut: cut, entries: entries, seen: seen, equation: equation)
            self.known.incremental.put(IncrementalFoldIn(id, state))
        }
        return self.made(
            id,
            mark.counter,
            vector == .none ? nil : Array(copying: query.span),
            isSolved: vector == .solved,
            seen: seen
        )
    }

    /// Returns a user as of now, kept for this thread and all others.
    func made(
        _ id: Span<UInt8>,
        _ counter: UInt64,
        _ vector: [Float]?,
        isSolved: Bool = true,
        seen: [Int32]
    ) -> ResolvedUser {
        let rows = self.catalogue.count
        let user = ResolvedUser(
            id: Array(copying: id),
            counter: counter,
            vector: vector,
            isSolved: isSolved,
            seen: seen,
            rows: rows
        )
        self.table.put(user)
        self.known.resolved.put(user)
        return user
    }

    private func useSession(
        _ id: Span<UInt8>,
        _ session: [HistoryItem],
        _ budgetNanos: Double,
        _ query: inout [Float]
    ) throws(AnnexError) -> UserSource {
        let known: Known
        if let state {
            let gathered = try state.withRead { view throws(AnnexError) -> Known? in
                let events = try view.mark(of: id)?.eventCount ?? 0
                guard self.nanos(id, events: events + session.count) <= budgetNanos else { return nil }
                return try self.gather(view, id)
            }
            guard let gathered else { return .costly }
            known = gathered
        } else {
            guard self.nanos(id, events: session.count) <= budgetNanos else { return .costly }
            known = self.gatherTrained(id)
        }
        self.known.solves.leftOut(known.leftOut)
        for entry in session { self.history.add(session: entry) }
        self.finish(known, id)
        defer { self.lastEquation = nil }
        return try self.makeVector(known, id, &query) == .none ? .unknown : .session
    }

    /// Tells which parts of the version count for a user.
    struct Known {
        /// Nothing of the version counts.
        var isForgotten = false
        /// There is a trained history that counts.
        var hasHistory = false
        /// Events of the state whose weight is too large for this version's alpha: they count as seen only.
        var leftOut = 0
    }

    /// Begins the history anew with what the state says of a user, known or not.
    func gather(_ view: borrowing StateView, _ id: Span<UInt8>) throws(AnnexError) -> Known {
        var known = self.gatherTrained(id)
        known.isForgotten = try view.hasForgotten(id)
        known.hasHistory = known.hasHistory && !known.isForgotten
        let cut = known.hasHistory ? self.known.trainedUntil : nil
        if known.hasHistory {
            try view.forEachRemoved(of: id) { item, time throws(AnnexError) in
                self.historyRead &+= 1
                if let ordinal = self.items.ordinal(of: item) { self.history.remove(ordinal, time: time) }
                return true
            }
        }
        let limit = self.known.weightLimit
        try view.forEachEvent(of: id, newestFirst: false) { item, weight, time throws(AnnexError) in
            self.historyRead &+= 1
            if let ordinal = self.items.ordinal(of: item) {
                let fits = abs(weight) <= limit
                if !fits, cut.map({ time > $0 }) ?? true { known.leftOut += 1 }
                self.history.add(ordinal, weight: fits ? weight : nil, time: time, cut: cut)
            }
            return true
        }
        return known
    }

    /// Begins the history anew without a state.
    func gatherTrained(_ id: Span<UInt8>) -> Known {
        self.history.clear()
        return Known(hasHistory: self.users?.withHistory(of: id) { $0 != nil } ?? false)
    }

    func finish(_ known: Known, _ id: Span<UInt8>) {
        guard known.hasHistory, let users else { return self.history.finish(nil) }
        users.withHistory(of: id) {
            self.historyRead &+= $0?.count ?? 0
            self.history.finish($0)
        }
    }

    /// Leaves all that is known of a user in `history`. O(events).
    func read(_ id: Span<UInt8>) throws(AnnexError) {
        let known: Known
        if let state {
            known = try state.withRead { view throws(AnnexError) in try self.gather(view, id) }
        } else {
            known = self.gatherTrained(id)
        }
        self.finish(known, id)
    }

    private enum Made { case none, stored, solved }

    private func makeVector(
        _ known: Known,
        _ id: Span<UInt8>,
        _ query: inout [Float]
    ) throws(AnnexError) -> Made {
        let canSolve = self.known.foldIn != nil && !(known.hasHistory && !self.history.isChanged)
        if !canSolve || !known.hasHistory, !known.isForgotten, self.copyStored(id, &query) { return .stored }
        // An empty history gives no vector.
        guard canSolve, !self.history.entries.isEmpty, let solver = self.solver else { return .none }
        try self.solve(solver, id, &query)
        return .solved
    }

    // MARK: Solving

    /// Made at the first need: it holds dimension² doubles.
    var solver: FoldInSolver? {
        if let ownSolver { return ownSolver }
        guard let model = self.known.foldIn else { return nil }
        BLASThreads.set(1)
        let solver = FoldInSolver(model)
        self.ownSolver = solver
        return solver
    }

    private func solve(
        _ solver: FoldInSolver,
        _ id: Span<UInt8>,
        _ query: inout [Float]
    ) throws(AnnexError) {
        let begin = ContinuousClock.now
        let entries = self.history.entries
        let event: (Int) -> (ordinal: Int32, weight: Double) = { (entries[$0].ordinal, entries[$0].weight) }
        let count = entries.count
        let isSolved = self.catalogue.withRows { rows, stride in
            guard count >= IncrementalFoldIn.leastEntries else {
                self.lastEquation = nil
                return solver.solve(count: count, rows: rows, stride: stride, into: &query, event)
            }
            var equation = FoldInSolver.Equation()
            let isSolved = solver.solve(
                count: count,
                rows: rows,
                stride: stride,
                keeping: &equation,
                into: &query,
                event
            )
            self.lastEquation = isSolved ? equation : nil
            return isSolved
        }
        self.known.solves.count(ContinuousClock.now - begin)
        guard isSolved else { throw Self.noSolution(id) }
    }

    static func noSolution(_ id: Span<UInt8>) -> AnnexError {
        AnnexError(
            .badInput,
            "the history of user '\(Printable.escape(Array(copying: id)))' has no solution: weights are too large, or many lie below "
                + "1 / alpha in size",
            hint: "Look at it with SEEN, and replace such events or delete them with EVENT.DEL"
        )
    }
}
