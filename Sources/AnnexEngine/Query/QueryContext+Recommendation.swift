package import AnnexCore
import AnnexIndex

extension QueryContext {
    /// Answers one query. What earlier queries left out is forgotten first; nothing has to be cleared by a caller.
    ///
    /// Allocates nothing where the state does not mention the user, or did not since this thread last looked.
    ///
    /// - Throws: `.badInput` where the user's history has no solution; what the state throws.
    package func answer(_ query: borrowing RecommendationQuery, for id: Span<UInt8>) throws(AnnexError)
        -> Answer
    {
        try self.checkStop()
        switch try self.useUser(id, query.user) {
        case .costly: return .tooCostly
        case .unknown where self.popularNanos(k: query.k) > query.user.budgetNanos: return .tooCostly
        case .unknown: return self.usePopular(k: query.k) ? .hits : .unknownUser
        case .ready: break
        }
        let version = self.version.description
        let effort = query.effort ?? version.effort(leavingOut: self.excludedCount)
        let nanos = WorkEstimate.nanos(
            of: effort,
            k: query.k,
            excluded: self.excludedCount,
            attributeBytes: query.withAttributes ? self.version.bytesPerAttribute : 0,
            isZero: self.queryIsZero,
            in: version
        )
        let isFound = try self.search(k: query.k, effort: effort, nanos: nanos, budgetNanos: query.user.budgetNanos)
        return isFound ? .hits : .tooCostly
    }

    /// Makes a user's vector of now the query of `score`. `.hits` stands for success.
    ///
    /// - Throws: as `answer` does.
    package func beginScoring(for id: Span<UInt8>, budgetNanos: Double) throws(AnnexError) -> Answer {
        switch try self.useUser(id, UserRequest(leavesOutSeen: false, budgetNanos: budgetNanos)) {
        case .costly: .tooCostly
        case .unknown: .unknownUser
        case .ready: .hits
        }
    }

    /// Returns why an item is not in the answer to a query, whose budget does not count. One search, then one score for
    /// each item.
    ///
    /// - Parameters:
    ///   - item: nil where the version does not have it.
    ///   - isListed: whether the query itself leaves it out.
    /// - Returns: nil where nothing is known of the user.
    package func whyNot(
        _ query: RecommendationQuery,
        item: Int32?,
        isListed: Bool,
        for id: Span<UInt8>
    ) throws(AnnexError) -> WhyNot? {
        guard try self.useUser(id, query.user) == .ready else { return nil }
        let effort = query.effort ?? self.version.description.effort(leavingOut: self.excludedCount)
        return try self.whyNot(item: item, isListed: isListed, k: query.k, effort: effort)
    }
}
