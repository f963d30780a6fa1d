import AnnexCore
import AnnexStore

/// An item of a user's history.
package struct SeenItem: Sendable, Equatable {
    package let item: [UInt8]
    /// Of the newest event with it, in milliseconds since 1970; nil where only the trained history has it.
    package let time: Int64?
}

extension UserResolver {
    /// The items of a user's history, each once: events newest first, then the trained ones by their ids. Items that this
    /// version does not know are among the events. O(events).
    func seen(_ id: UnsafeRawBufferPointer, count: Int) throws(AnnexError) -> [SeenItem] {
        var list: [SeenItem] = []
        var names: Set<[UInt8]> = []
        let known: Known
        if let state {
            known = try state.withRead { view throws(AnnexError) in
                let known = try self.gather(view, id)
                try view.forEachEvent(of: id, newestFirst: true) { item, _, time throws(AnnexError) in
                    let name = Array(item)
                    if names.insert(name).inserted { list.append(SeenItem(item: name, time: time)) }
                    return list.count < count
                }
                return known
            }
        } else {
            known = self.gatherTrained(id)
        }
        self.finish(known, id)
        for ordinal in self.history.trained where list.count < count {
            let name = self.version.items.identifier(ordinal)
            if names.insert(name).inserted { list.append(SeenItem(item: name, time: nil)) }
        }
        return list
    }

    /// About how long reading a user's events takes.
    func nanosToRead(_ id: UnsafeRawBufferPointer) throws(AnnexError) -> Double {
        let events = try self.state?.withRead { view throws(AnnexError) in try view.mark(of: id)?.eventCount } ?? 0
        let trained = self.users?.withHistory(of: id) { $0?.count ?? 0 } ?? 0
        return Double(events + trained) * 1_500
    }

    /// Whether the version says anything of a user that no tombstone masks.
    func versionKnows(_ id: UnsafeRawBufferPointer) throws(AnnexError) -> Bool {
        guard let users, users.has(id) else { return false }
        guard let state else { return true }
        return try state.withRead { view throws(AnnexError) in try !view.hasForgotten(id) }
    }

    /// Whether the trained history has an item that no tombstone masks. O(log history) for a user without tombstones.
    func trainedHistory(of id: UnsafeRawBufferPointer, has item: Int32) throws(AnnexError) -> Bool {
        let has = self.users?.withHistory(of: id) { $0?.has(item) ?? false } ?? false
        guard has, let state else { return has }
        return try state.withRead { view throws(AnnexError) in
            if try view.hasForgotten(id) { return false }
            var removed: Int64?
            try view.forEachRemoved(of: id) { name, time throws(AnnexError) in
                if self.items.ordinal(of: name) == item { removed = time }
                return removed == nil
            }
            guard let removed, let cut = self.version.description.trainedUntil else { return true }
            var isLifted = false
            try view.forEachEvent(of: id, newestFirst: false) { name, _, time throws(AnnexError) in
                guard time <= cut else { return false }
                isLifted = time >= removed && self.items.ordinal(of: name) == item
                return !isLifted
            }
            return isLifted
        }
    }
}
