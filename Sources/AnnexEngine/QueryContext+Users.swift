package import AnnexCore
import AnnexIndex

/// What a command wants of a user.
package struct UserWish {
    /// Whether what the user has seen is left out.
    package var leavesOutSeen = true
    /// A temporary history: it is folded in, and left out as well; nil for none.
    package var session: [SessionItem]?
    /// What working the vector out may take before somebody else has to, in nanoseconds.
    package var budgetNanos = Double.infinity

    package init(leavesOutSeen: Bool = true, session: [SessionItem]? = nil, budgetNanos: Double = .infinity) {
        self.leavesOutSeen = leavesOutSeen
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

package enum UserStanding: Sendable {
    case ready
    /// There is no vector. What the user has seen is left out all the same.
    case unknown
    /// It takes longer than the wish allows: ask again with a larger budget, elsewhere.
    case costly
}

extension QueryContext {
    /// Forgets what the commands before left out.
    package func clearListed() { self.listed.removeAll(keepingCapacity: true) }

    /// Leaves an item out for all users of the present command.
    package func leaveOut(_ ordinal: Int32) { self.listed.append(ordinal) }

    /// How many items the present query leaves out.
    package var excludedCount: Int { self.marks.count }

    /// Makes a user's vector of now the query, and leaves out what is listed and what the user has seen.
    ///
    /// Not allocating where the state does not mention the user, or did not since this thread last looked.
    ///
    /// - Throws: `.badInput` where the user's history has no solution; what the state throws.
    package func useUser(_ id: UnsafeRawBufferPointer, _ wish: UserWish) throws(AnnexError) -> UserStanding {
        self.beginExclusions()
        for ordinal in self.listed { self.exclude(ordinal) }
        let source = try self.source(id, wish)
        switch source {
        case .costly: return .costly
        case .unknown: return .unknown
        case .stored:
            if wish.leavesOutSeen, let many = self.live.forEachTrained(id, { self.exclude($0) }) {
                self.exclude(seenBy: many)
            }
        case .folded(let user):
            if wish.leavesOutSeen { self.exclude(seenBy: user) }
            guard user.vector != nil else { return .unknown }
        case .session:
            if wish.leavesOutSeen { self.live.history.forEachSeen { self.exclude($0) } }
        }
        self.takeConstant()
        self.measureNorm()
        return .ready
    }

    private func source(_ id: UnsafeRawBufferPointer, _ wish: UserWish) throws(AnnexError) -> UserSource {
        let session = wish.session?.map { UserHistory.Entry(ordinal: $0.ordinal, weight: $0.weight) }
        do {
            return try self.query.withUnsafeMutableBufferPointer { query in
                try self.live.use(id, session: session, budgetNanos: wish.budgetNanos, into: query)
            }
        } catch let error as AnnexError {
            throw error
        } catch {
            throw AnnexError(.system, "\(error)")
        }
    }

    // MARK: Histories

    /// The items of a user's history, each once: events newest first, then the trained ones. At most `count`. O(events).
    package func seen(by id: UnsafeRawBufferPointer, count: Int) throws(AnnexError) -> [SeenItem] {
        try self.live.seen(id, count: count)
    }

    /// About how long `seen` takes, in nanoseconds.
    package func nanosToRead(_ id: UnsafeRawBufferPointer) throws(AnnexError) -> Double {
        try self.live.nanosToRead(id)
    }

    /// Whether the version says anything of a user who was not forgotten.
    package func versionKnows(_ id: UnsafeRawBufferPointer) throws(AnnexError) -> Bool {
        try self.live.versionKnows(id)
    }

    /// Whether the trained history of a user has an item that was not taken out of it. O(events).
    package func trainedHistory(of id: UnsafeRawBufferPointer, has item: Int32) throws(AnnexError) -> Bool {
        try self.live.trainedHistory(of: id, has: item)
    }
}
