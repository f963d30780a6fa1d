import AnnexCore
import CLMDB

/// Keeps table `items`, which says when a user's events with an item were.
///
/// Users with few events have no entries: to walk those few costs some 50 µs at most, while entries cost each event a third
/// more. A user with more than `walkLimit` events has an entry for each of them, and keeps that while any event is left.
extension StateTransaction {
    /// Makes the table in a file of format 1, which has none.
    func makeIndex() throws(LMDBFailure) {
        _ = try self.lmdb.makeTable(StateSchema.items, flags: MDB_DUPSORT)
    }

    /// Copies of the user's records with an item, damaged ones as well. O(log events + found); O(events of the user)
    /// where there is no index of them.
    func events(of user: Identifier, with item: Identifier) throws(LMDBFailure) -> [[UInt8]] {
        guard let items = try self.usableIndex(of: user) else { return try self.walkEvents(of: user, with: item) }
        var found: [[UInt8]] = []
        for entry in try self.values(items, user.bytes, StateSchema.tombstonePrefix(item)) {
            guard let time = Self.time(of: entry) else { continue }
            found += try self.values(self.tables.events, user.bytes, StateSchema.eventPrefix(item, time))
        }
        return found
    }

    /// Returns the latest time before `end` at which the user has an event with the item. Costs as `events(of:with:)`
    /// does, but for the number found.
    func latestTime(of user: Identifier, _ item: Identifier, before end: Int64) throws(LMDBFailure) -> Int64? {
        let name = StateSchema.tombstonePrefix(item)
        guard let items = try self.usableIndex(of: user) else {
            return try self.walkEvents(of: user, with: item).compactMap { record in
                unsafe record.withUnsafeBytes { unsafe StateSchema.time($0, at: 0) }
            }.filter { $0 < end }.max()
        }
        let cursor = try LMDBCursor(self.lmdb, items)
        var isThere = try cursor.seek(user.bytes, from: StateSchema.indexEntry(item, end))
        if isThere {
            isThere = try cursor.move(MDB_PREV_DUP)
        } else if try cursor.seek(user.bytes) {
            isThere = try cursor.move(MDB_LAST_DUP)
        }
        guard isThere, unsafe cursor.value.starts(with: name) else { return nil }
        return Self.time(of: unsafe Array(cursor.value))
    }

    private static func time(of entry: [UInt8]) -> Int64? {
        guard entry.count >= 9 else { return nil }
        return unsafe entry.withUnsafeBytes { unsafe StateSchema.time($0, at: $0.count - 8) }
    }

    /// Returns nil where the user has no entries, or where entries may be wrong.
    private func usableIndex(of user: Identifier) throws(LMDBFailure) -> MDB_dbi? {
        guard self.index.isWhole, let items = self.tables.items else { return nil }
        return try self.lmdb.has(items, user.bytes) ? items : nil
    }

    private func walkEvents(of user: Identifier, with item: Identifier) throws(LMDBFailure) -> [[UInt8]] {
        let cursor = try LMDBCursor(self.lmdb, self.tables.events)
        let name = StateSchema.tombstonePrefix(item)
        var found: [[UInt8]] = []
        var isThere = try cursor.seek(user.bytes)
        while isThere {
            self.walkedRecords += 1
            let value = unsafe cursor.value
            // Whatever bears the item's name goes, damaged or not.
            if value.count > 8, unsafe value[8...].starts(with: name) { found.append(unsafe Array(value)) }
            isThere = try cursor.move(MDB_NEXT_DUP)
        }
        return found
    }

    // MARK: Writing

    /// Enters an event that was just added.
    ///
    /// - Parameter count: events of the user, that one included.
    func enter(_ user: Identifier, _ item: Identifier, _ time: Int64, count: Int) throws(LMDBFailure) {
        guard let items = self.tables.items else { return }
        if try self.lmdb.has(items, user.bytes) {
            return try self.lmdb.put(items, user.bytes, StateSchema.indexEntry(item, time))
        }
        // The first to exceed the limit. A user with many more and no entries comes from a file of format 1, and is left
        // to the check of records, which takes small steps.
        guard count > self.index.walkLimit, self.index.isWhole || count == self.index.walkLimit + 1 else { return }
        let cursor = try LMDBCursor(self.lmdb, self.tables.events)
        var entries: [[UInt8]] = []
        var isThere = try cursor.seek(user.bytes)
        while isThere {
            if let entry = unsafe StateSchema.indexEntry(of: cursor.value) { entries.append(entry) }
            isThere = try cursor.move(MDB_NEXT_DUP)
        }
        for entry in entries { try self.lmdb.put(items, user.bytes, entry) }
    }

    /// Takes out the entry of a record that was deleted.
    func unindex(_ user: Identifier, _ record: [UInt8]) throws(LMDBFailure) {
        guard let items = self.tables.items,
            let entry = unsafe record.withUnsafeBytes({ unsafe StateSchema.indexEntry(of: $0) })
        else { return }
        try self.lmdb.deleteIfThere(items, user.bytes, entry)
    }

    /// Repairs entries: one stays or is added where the event is there, and goes where it is not.
    func repairIndex(of user: Identifier, _ entries: [[UInt8]]) throws(LMDBFailure) {
        guard let items = self.tables.items else { return }
        for entry in entries {
            // The record begins with the entry's time and goes on with its item.
            let record = entry.suffix(8) + entry.dropLast(8)
            if entry.count > 8, try !self.values(self.tables.events, user.bytes, Array(record)).isEmpty {
                try self.lmdb.put(items, user.bytes, entry)
            } else {
                try self.lmdb.deleteIfThere(items, user.bytes, entry)
            }
        }
        self.hasRepaired = true
    }
}
