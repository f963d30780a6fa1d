import AnnexCore
import AnnexStore

extension UserResolver {
    /// Reads between two looks at whether anybody waits for the answer.
    private static let readsPerLook = 4_096

    /// Returns the items of a user's history, each once: events newest first, then the trained ones by their ids. Items
    /// that this version does not know are among the events.
    ///
    /// Reads until there are `count`: so many events, and those on items that came before; tombstones only where trained items are
    /// asked for.
    ///
    /// - Parameters:
    ///   - limit: how many events, tombstones and trained items it may read.
    ///   - look: throws where nobody waits any more.
    /// - Returns: nil where it would have to read more.
    func seen(
        _ id: Span<UInt8>,
        count: Int,
        limit: Int,
        look: () throws(AnnexError) -> Void
    ) throws(AnnexError) -> [SeenItem]? {
        var list = SeenList(count: count)
        var read = 0
        defer { self.historyRead &+= read }
        var removed: Set<Int32> = []
        var hasHistory = self.users?.withHistory(of: id) { $0 != nil } ?? false
        if let state {
            try state.withRead { view throws(AnnexError) in
                try view.forEachEvent(of: id, newestFirst: true) { item, _, time throws(AnnexError) in
                    read += 1
                    if read % Self.readsPerLook == 0 { try look() }
                    if read <= limit { list.add(Array(copying: item), time) }
                    return read <= limit && !list.isFull
                }
                guard hasHistory, !list.isFull, read <= limit else { return }
                hasHistory = try !view.hasForgotten(id)
                guard hasHistory else { return }
                // An event that lifts a tombstone is among those above, and so is its item.
                try view.forEachRemoved(of: id) { item, _ throws(AnnexError) in
                    read += 1
                    if let ordinal = self.items.ordinal(of: item) { removed.insert(ordinal) }
                    return read <= limit
                }
            }
        }
        guard hasHistory, !list.isFull, read <= limit, let users else { return read <= limit ? list.items : nil }
        users.withHistory(of: id) { history in
            for index in 0..<(history?.count ?? 0) where !list.isFull && read <= limit {
                guard let ordinal = history?.ordinal(index) else { continue }
                read += 1
                if !removed.contains(ordinal) { list.add(self.catalogue.identifier(ordinal), nil) }
            }
        }
        return read <= limit ? list.items : nil
    }

    /// About how long reading a user's events takes.
    func nanosToRead(_ id: Span<UInt8>) throws(AnnexError) -> Double {
        let events = try self.state?.withRead { view throws(AnnexError) in try view.mark(of: id)?.eventCount } ?? 0
        let trained = self.users?.withHistory(of: id) { $0?.count ?? 0 } ?? 0
        return Double(events + trained) * WorkEstimate.nanosPerSeenItem
    }

    /// Tells whether the version says anything of a user that no tombstone masks.
    func versionKnows(_ id: Span<UInt8>) throws(AnnexError) -> Bool {
        guard let users, users.has(id) else { return false }
        guard let state else { return true }
        return try state.withRead { view throws(AnnexError) in try !view.hasForgotten(id) }
    }

    /// Tells whether the trained history has an item that no tombstone masks. O(log history + log tombstones + log
    /// events), whatever else the user has.
    func trainedHistory(of user: Identifier, has item: Identifier) throws(AnnexError) -> Bool {
        guard let ordinal = self.items.ordinal(of: item.bytes.span) else { return false }
        let has = self.users?.withHistory(of: user.bytes.span) { $0?.has(ordinal) ?? false } ?? false
        guard has, let state else { return has }
        return try state.withRead { view throws(AnnexError) in
            if try view.hasForgotten(user.bytes.span) { return false }
            guard let removed = try view.removedAt(user, item), let cut = self.known.trainedUntil else {
                return true
            }
            return removed <= cut ? try view.hasEvent(user, item, in: removed...cut) : false
        }
    }
}
