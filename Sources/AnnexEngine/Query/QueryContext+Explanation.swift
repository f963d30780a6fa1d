package import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra

extension QueryContext {
    /// Explains why an item has its score: each item of the user's history gets the part that its events made, exactly
    /// (the linear decomposition of implicit ALS, Hu, Koren and Volinsky 2008, §5). It costs one fold-in.
    ///
    /// - Throws: `.notFound` where the user is unknown; `.usage` where the score is no sum over events: on l2, without
    ///   a fold-in, and for a vector that is the trainer's own.
    package func explain(
        _ id: Span<UInt8>,
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
        _ id: Span<UInt8>,
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
            let lengths = Double(self.queryNorm) * Double(self.catalogue.norm(item))
            contributions = contributions.map { lengths > 0 ? $0 / lengths : 0 }
        }
        let baseline = self.catalogue.withRow(item) { solver.model.baseline(of: $0) }
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
                // Adding 0 makes +0 of -0, which an item with a negative weight would have under ALS.
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
