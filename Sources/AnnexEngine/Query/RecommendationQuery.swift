package import AnnexCore
import AnnexIndex

/// Says which vector of a user a command takes, and which items it leaves out. It is a value, so nothing of one query
/// can reach another.
package struct UserRequest: Sendable {
    /// Tells whether what the user has seen is left out.
    package var leavesOutSeen = true
    /// Items with these ordinals are left out besides.
    package var excluded: [Int32] = []
    /// Holds a temporary history, which is folded in, and left out as well. It is nil where there is none.
    package var session: [HistoryItem]?
    /// Holds the time that working the vector out may take before another thread has to do it, in nanoseconds.
    package var budgetNanos = Double.infinity

    package init(
        leavesOutSeen: Bool = true,
        excluded: [Int32] = [],
        session: [HistoryItem]? = nil,
        budgetNanos: Double = .infinity
    ) {
        self.leavesOutSeen = leavesOutSeen
        self.excluded = excluded
        self.session = session
        self.budgetNanos = budgetNanos
    }
}

/// Asks for "the best k items for this user", with all that belongs to the question. Ordinals in it are those of one
/// version.
package struct RecommendationQuery: Sendable {
    package var k: Int
    /// With nil the version's own operating point for so many items left out applies.
    package var effort: SearchEffort?
    package var user: UserRequest
    /// Tells whether the answer's items come with their attributes, which take time to copy.
    package var withAttributes: Bool

    package init(k: Int, effort: SearchEffort? = nil, user: UserRequest = UserRequest(), withAttributes: Bool = false) {
        self.k = k
        self.effort = effort
        self.user = user
        self.withAttributes = withAttributes
    }
}

/// Says how a query ended.
package enum Answer: Equatable, Sendable {
    /// The context's `hits` are the answer, best first, until its next query.
    case hits
    /// Nothing is known of the user.
    case unknownUser
    /// It takes longer than the query's budget: ask again with a larger one, elsewhere. There are no hits; at most a walk, or
    /// reading as much as the budget allows, was in vain.
    case tooCostly
}
