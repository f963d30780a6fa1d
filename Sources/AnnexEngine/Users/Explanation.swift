package import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore

/// What made an item's score for a user.
package struct Explanation: Sendable {
    package struct Part: Sendable {
        package let ordinal: Int32
        /// All events on the item together.
        package let weight: Double
        /// What of the score is the item's.
        package let contribution: Double
    }

    /// The score that TOPK gives, to a float's precision the sum of all contributions and the baseline.
    package let score: Float
    /// `als` or `ridge`.
    package let method: String
    /// How many items the history has.
    package let events: Int
    /// What the score is without any history: μ + b_i of a biased model, else 0.
    package let baseline: Double
    /// The largest contributions by size, largest first.
    package let parts: [Part]
    /// The sum of all others.
    package let rest: Double
}

extension QueryContext {
    /// Why an item has its score: each item of the user's history gets the part that its events made, exactly (the linear
    /// decomposition of implicit ALS, Hu, Koren and Volinsky 2008, §5). One fold-in.
    ///
    /// - Throws: `.notFound` where the user is unknown; `.usage` where the score is no sum over events: on l2, without a
    ///   fold-in, and for a vector that is the trainer's own.
    package func explain(
        _ id: UnsafeRawBufferPointer,
        item: Int32,
        count: Int
    ) throws(AnnexError) -> Explanation {
        guard Self.mayBeIdentifier(id) else { throw AnnexError(.notFound, "nothing is known of the user") }
        // The state is read several times; where an event came in between, once more.
        let before = try self.live.counter(of: id)
        let first = Self.result { () throws(AnnexError) in try self.explainOnce(id, item: item, count: count) }
        guard try self.live.counter(of: id) == before else {
            return try self.explainOnce(id, item: item, count: count)
        }
        return try first.get()
    }

    private static func result<R>(_ body: () throws(AnnexError) -> R) -> Result<R, AnnexError> {
        do throws(AnnexError) { return .success(try body()) } catch { return .failure(error) }
    }

    private func explainOnce(
        _ id: UnsafeRawBufferPointer,
        item: Int32,
        count: Int
    ) throws(AnnexError) -> Explanation {
        guard self.metric != .l2 else {
            throw AnnexError(.usage, "on l2 a score is a distance, which is no sum over events")
        }
        try self.checkStop()
        guard let solver = self.live.solver, let method = self.version.foldIn?.method.name else {
            throw AnnexError(
                .usage,
                "this version does not fold in",
                hint: "Build it with --history and --fold-in als or ridge"
            )
        }
        let origin = try self.live.origin(of: id)
        guard origin != .unknown, try self.useUser(id, UserRequest(leavesOutSeen: false)) == .ready else {
            throw AnnexError(.notFound, "nothing is known of the user")
        }
        let score = self.score(item)
        let entries = try self.live.entries(of: id)
        var contributions = try self.live.contributions(solver, to: item, of: id)
        if self.metric == .cosine {
            let lengths = Double(self.queryNorm) * Double(self.vectors.norm(Int(item)))
            contributions = contributions.map { lengths > 0 ? $0 / lengths : 0 }
        }
        let baseline = self.vectors.withRow(Int(item)) { row in
            row.baseAddress.map { solver.model.baseline(of: $0) } ?? 0
        }
        let sum = contributions.reduce(0, +)
        let size = contributions.reduce(0) { $0 + abs($1) }
        // A stored vector of a ridge version is the trainer's, or was solved in the build: numbers tell which.
        // A float32 score is as exact as its largest part.
        let slack = 1e-5 * (size + abs(baseline))
        let isSolved = origin == .solved || (origin == .perhaps && abs(sum + baseline - Double(score)) <= slack)
        guard isSolved, !entries.isEmpty else {
            throw AnnexError(
                .usage,
                "the user's vector is the trainer's own and not made from events",
                hint: "A user with a trained history gets one that is at the first event after the version's cut"
            )
        }
        let order = contributions.indices.sorted { abs(contributions[$0]) > abs(contributions[$1]) }.prefix(count)
        let parts = order.map { index in
            Explanation.Part(
                ordinal: entries[index].ordinal,
                weight: entries[index].weight,
                // Not -0, as an item with a negative weight would have under ALS.
                contribution: contributions[index] + 0
            )
        }
        return Explanation(
            score: score,
            method: method,
            events: entries.count,
            baseline: baseline,
            parts: parts,
            rest: sum - parts.reduce(0) { $0 + $1.contribution }
        )
    }
}

extension UserResolver {
    /// Of the user's last change; nil where the state does not mention the user.
    fileprivate func counter(of id: UnsafeRawBufferPointer) throws(AnnexError) -> UInt64? {
        guard let state else { return nil }
        return try state.withRead { view throws(AnnexError) in try view.mark(of: id)?.counter }
    }

    fileprivate enum Origin { case unknown, stored, perhaps, solved }

    /// Where the user's vector of now comes from. O(events) where it has to be worked out.
    fileprivate func origin(of id: UnsafeRawBufferPointer) throws(AnnexError) -> Origin {
        var vector = [Float](repeating: 0, count: self.version.vectors.dimension)
        let source = try Self.lend(&vector) { query throws(AnnexError) in
            try self.use(id, session: nil, budgetNanos: .infinity, into: query)
        }
        switch source {
        case .folded(let user) where user.vector == nil: return .unknown
        case .folded(let user) where user.isSolved: return .solved
        case .unknown, .costly: return .unknown
        case .folded, .stored, .session: break
        }
        guard self.users?.withHistory(of: id, { $0 != nil }) ?? false else { return .stored }
        // With ALS a build solves for every user who has a history.
        if case .als? = self.version.foldIn?.method { return .solved }
        return .perhaps
    }

    private static func lend<R>(
        _ vector: inout [Float],
        _ body: (UnsafeMutableBufferPointer<Float>) throws(AnnexError) -> R
    ) throws(AnnexError) -> R {
        let result: Result<R, AnnexError> = vector.withUnsafeMutableBufferPointer { query in
            do throws(AnnexError) { return .success(try body(query)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// The history as it stands; left in `history` for `contributions`.
    fileprivate func entries(of id: UnsafeRawBufferPointer) throws(AnnexError) -> [UserHistory.Entry] {
        try self.read(id)
        return self.history.entries
    }

    fileprivate func contributions(
        _ solver: FoldInSolver,
        to item: Int32,
        of id: UnsafeRawBufferPointer
    ) throws(AnnexError) -> [Double] {
        let entries = self.history.entries
        let vectors = self.version.vectors
        var out = [Double](repeating: 0, count: entries.count)
        let isSolved = vectors.withRows { rows in
            out.withUnsafeMutableBufferPointer { out in
                solver.contributions(to: rows + Int(item) * vectors.stride, count: entries.count, into: out) { index in
                    (rows + Int(entries[index].ordinal) * vectors.stride, entries[index].weight)
                }
            }
        }
        guard isSolved else { throw Self.noSolution(id) }
        return out
    }
}
