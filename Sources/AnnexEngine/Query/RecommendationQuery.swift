package import AnnexCore
import AnnexIndex

/// What a command asks of a user's vector: which vector, and what is left out. A value, so nothing of one query can reach
/// another.
package struct UserRequest: Sendable {
    /// Whether what the user has seen is left out.
    package var leavesOutSeen = true
    /// Ordinals that are left out besides.
    package var excluded: [Int32] = []
    /// A temporary history: it is folded in, and left out as well; nil for none.
    package var session: [SessionItem]?
    /// What working the vector out may take before somebody else has to, in nanoseconds.
    package var budgetNanos = Double.infinity

    package init(
        leavesOutSeen: Bool = true,
        excluded: [Int32] = [],
        session: [SessionItem]? = nil,
        budgetNanos: Double = .infinity
    ) {
        self.leavesOutSeen = leavesOutSeen
        self.excluded = excluded
        self.session = session
        self.budgetNanos = budgetNanos
    }
}

/// An item of a temporary history.
package struct SessionItem: Sendable {
    package let ordinal: Int32
    package let weight: Double

    package init(ordinal: Int32, weight: Double) {
        self.ordinal = ordinal
        self.weight = weight
    }
}

/// "The best k items for this user", with all that belongs to it. Ordinals in it are those of one version.
package struct RecommendationQuery: Sendable {
    package var k: Int
    /// Nil: the version's own operating point for so many items left out.
    package var effort: SearchEffort?
    package var user: UserRequest
    /// Whether the answer's items come with their attributes, which take time to copy.
    package var withAttributes: Bool

    package init(k: Int, effort: SearchEffort? = nil, user: UserRequest = UserRequest(), withAttributes: Bool = false) {
        self.k = k
        self.effort = effort
        self.user = user
        self.withAttributes = withAttributes
    }
}

/// What a query came to.
package enum Answer: Equatable, Sendable {
    /// The context's `hits` are the answer, best first, until its next query.
    case hits
    /// Nothing is known of the user.
    case unknownUser
    /// It takes longer than the query's budget: ask again with a larger one, elsewhere. There are no hits; at most a walk, or
    /// reading as much as the budget allows, was in vain.
    case tooCostly
}

extension QueryContext {
    /// Answers one query. What earlier queries left out is forgotten first; nothing has to be cleared by a caller.
    ///
    /// Allocates nothing where the state does not mention the user, or did not since this thread last looked.
    ///
    /// - Throws: `.badInput` where the user's history has no solution; what the state throws.
    package func answer(_ query: borrowing RecommendationQuery, for id: UnsafeRawBufferPointer) throws(AnnexError)
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
        guard nanos <= query.user.budgetNanos else { return .tooCostly }
        let limit = WorkEstimate.limit(nanos: query.user.budgetNanos, in: version)
        return try self.search(k: query.k, effort: effort, limit: limit).isUnfinished ? .tooCostly : .hits
    }

    /// Makes a user's vector of now the query of `score`. `.hits` stands for success.
    ///
    /// - Throws: as `answer` does.
    package func beginScoring(for id: UnsafeRawBufferPointer, budgetNanos: Double) throws(AnnexError) -> Answer {
        switch try self.useUser(id, UserRequest(leavesOutSeen: false, budgetNanos: budgetNanos)) {
        case .costly: .tooCostly
        case .unknown: .unknownUser
        case .ready: .hits
        }
    }

    /// Why an item is not in the answer to a query, whose budget does not count. One search, then one score for each item.
    ///
    /// - Parameters:
    ///   - item: nil where the version does not have it.
    ///   - isListed: whether the query itself leaves it out.
    /// - Returns: nil where nothing is known of the user.
    package func whyNot(
        _ query: RecommendationQuery,
        item: Int32?,
        isListed: Bool,
        for id: UnsafeRawBufferPointer
    ) throws(AnnexError) -> WhyNot? {
        guard try self.useUser(id, query.user) == .ready else { return nil }
        let effort = query.effort ?? self.version.description.effort(leavingOut: self.excludedCount)
        return try self.whyNot(item: item, isListed: isListed, k: query.k, effort: effort)
    }
}
