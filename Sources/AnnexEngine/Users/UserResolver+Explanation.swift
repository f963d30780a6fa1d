import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore

extension UserResolver {
    /// Returns the counter of the user's last change; nil where the state does not mention the user.
    func counter(of id: Span<UInt8>) throws(AnnexError) -> UInt64? {
        guard let state else { return nil }
        return try state.withRead { view throws(AnnexError) in try view.mark(of: id)?.counter }
    }

    enum Origin { case unknown, stored, perhaps, solved }

    /// Returns the source of the user's present vector. O(events) where it has to be worked out.
    func origin(of id: Span<UInt8>) throws(AnnexError) -> Origin {
        var vector = [Float](repeating: 0, count: self.catalogue.dimension)
        switch try self.use(id, session: nil, budgetNanos: .infinity, into: &vector) {
        case .folded(let user) where user.vector == nil: return .unknown
        case .folded(let user) where user.isSolved: return .solved
        case .unknown, .costly: return .unknown
        case .folded, .stored, .session: break
        }
        guard self.users?.withHistory(of: id, { $0 != nil }) ?? false else { return .stored }
        // With ALS a build solves for every user who has a history.
        if case .als? = self.known.foldIn?.method { return .solved }
        return .perhaps
    }

    /// Returns the history as it stands, and leaves it in `history` for `contributions`.
    func entries(of id: Span<UInt8>) throws(AnnexError) -> [HistoryItem] {
        try self.read(id)
        return self.history.entries
    }

    func contributions(
        _ solver: FoldInSolver,
        to item: Int32,
        of id: Span<UInt8>
    ) throws(AnnexError) -> [Double] {
        let entries = self.history.entries
        var out = [Double](repeating: 0, count: entries.count)
        let isSolved = self.catalogue.withRows { rows, stride in
            solver.contributions(to: item, count: entries.count, rows: rows, stride: stride, into: &out) { index in
                (entries[index].ordinal, entries[index].weight)
            }
        }
        guard isSolved else { throw Self.noSolution(id) }
        return out
    }
}
