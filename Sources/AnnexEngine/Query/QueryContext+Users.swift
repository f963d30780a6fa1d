package import AnnexCore
import AnnexIndex

package enum UserReadiness: Sendable {
    case ready
    /// There is no vector. What the user has seen is left out all the same.
    case unknown
    /// It takes longer than the request allows: ask again with a larger budget, elsewhere.
    case costly
}

extension QueryContext {
    /// How many items the present query leaves out.
    package var excludedCount: Int { self.marks.count }

    /// Makes a user's vector of now the query, and leaves out what the request says and what the user has seen. A step of
    /// `answer`.
    ///
    /// Allocates nothing where the state does not mention the user, or did not since this thread last looked.
    ///
    /// - Throws: `.badInput` where the user's history has no solution; what the state throws.
    package func useUser(_ id: Span<UInt8>, _ wanted: borrowing UserRequest) throws(AnnexError)
        -> UserReadiness
    {
        self.beginExclusions()
        for ordinal in wanted.excluded { self.exclude(ordinal) }
        guard Self.mayBeIdentifier(id) else { return .unknown }
        let source = try self.source(id, wanted.session, wanted.budgetNanos)
        switch source {
        case .costly: return .costly
        case .unknown: return .unknown
        case .stored:
            if wanted.leavesOutSeen {
                switch self.live.forEachTrained(id, budgetNanos: wanted.budgetNanos, { self.exclude($0) }) {
                case .costly: return .costly
                case .marked(let many): guard self.exclude(seenBy: many, wanted) else { return .costly }
                case .lent: break
                }
            }
        case .folded(let user):
            if wanted.leavesOutSeen { guard self.exclude(seenBy: user, wanted) else { return .costly } }
            guard user.vector != nil else { return .unknown }
        case .session:
            if wanted.leavesOutSeen { self.live.history.forEachSeen { self.exclude($0) } }
        }
        self.takeConstant()
        self.measureNorm()
        return .ready
    }

    /// False where marking what the user has seen takes longer than is allowed: it is marked already, unless the request leaves
    /// out other items besides.
    private func exclude(seenBy user: ResolvedUser, _ wanted: borrowing UserRequest) -> Bool {
        let isMarked = user.marks != nil && self.exclusion.count == 0
        guard isMarked || WorkEstimate.isShort(marks: user.seen.count, wanted.budgetNanos) else {
            return false
        }
        self.exclude(seenBy: user)
        return true
    }

    private func source(
        _ id: Span<UInt8>,
        _ session: [HistoryItem]?,
        _ budgetNanos: Double
    ) throws(AnnexError) -> UserSource {
        try self.live.use(id, session: session, budgetNanos: budgetNanos, into: &self.query)
    }

    // MARK: Histories

    /// The items of a user's history, each once: events newest first, then the trained ones. At most `count`, which is what it
    /// costs, and repeated events on the same items.
    ///
    /// - Parameter limit: how many events and trained items it may read.
    /// - Returns: nil where it would have to read more.
    package func seen(
        by id: Span<UInt8>,
        count: Int,
        limit: Int = .max
    ) throws(AnnexError) -> [SeenItem]? {
        guard Self.mayBeIdentifier(id) else { return [] }
        return try self.live.seen(id, count: count, limit: limit) { () throws(AnnexError) in try self.checkStop() }
    }

    /// Events, tombstones and trained items that were read of users, in all: what they cost, without a clock.
    package var historyRead: Int { self.live.historyRead }

    /// About how long `seen` takes, in nanoseconds.
    package func nanosToRead(_ id: Span<UInt8>) throws(AnnexError) -> Double {
        Self.mayBeIdentifier(id) ? try self.live.nanosToRead(id) : 0
    }

    /// Whether the version says anything of a user who was not forgotten.
    package func versionKnows(_ id: Span<UInt8>) throws(AnnexError) -> Bool {
        try self.live.versionKnows(id)
    }

    /// Whether the trained history of a user has an item that was not taken out of it. O(log history + log events).
    package func trainedHistory(of user: Identifier, has item: Identifier) throws(AnnexError) -> Bool {
        try self.live.trainedHistory(of: user, has: item)
    }
}
