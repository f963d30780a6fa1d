package import AnnexCore
import CLMDB
import Synchronization

/// Shows the state at one moment, lent by `StateReader.withRead`. What it lends lives as long as the scope.
///
/// Ids of any length may be asked for. Records with a wrong checksum are skipped and counted. A body that is lent
/// events may call everything but what lends events, and likewise for tombstones.
package struct StateView: ~Copyable {
    private let reader: StateReader

    init(_ reader: StateReader) { self.reader = reader }

    /// Tells whether anybody was forgotten. O(1).
    package var hasForgotten: Bool {
        get throws(AnnexError) {
            let table = self.reader.environment.tables.forgotten
            return try self.reader.check { () throws(LMDBFailure) in try self.reader.lmdb.count(table) > 0 }
        }
    }

    /// The highest change counter that was given out: while it stays, nothing of any user has changed. O(1).
    package var highestCounter: UInt64 {
        get throws(AnnexError) {
            let meta = self.reader.environment.tables.meta
            return try self.reader.check { () throws(LMDBFailure) in
                let tally = unsafe try self.reader.lmdb.get(meta, StateSchema.tallyKey) { unsafe StateTally($0) }
                guard let tally = tally ?? nil else { throw LMDBFailure(status: MDB_CORRUPTED) }
                return tally.counter
            }
        }
    }

    /// Counts the users who were forgotten. O(1).
    package var forgottenCount: Int {
        get throws(AnnexError) {
            let table = self.reader.environment.tables.forgotten
            return try self.reader.check { () throws(LMDBFailure) in try self.reader.lmdb.count(table) }
        }
    }

    /// Returns the user's mark, which changes with every change of the user, so that a cache can be compared with it;
    /// nil where nothing is stored of the user: then `forgottenAt` says whether something was. O(log users).
    package func mark(of user: Span<UInt8>) throws(AnnexError) -> StateMark? {
        let tables = self.reader.environment.tables
        return unsafe try user.withUnsafeBytes { user throws(AnnexError) in
            try self.reader.check { () throws(LMDBFailure) in
                guard let value = unsafe try self.reader.lmdb.value(tables.users, user) else { return nil }
                if let mark = unsafe StateMark(value, user: user) { return mark }
                self.reader.skipDamaged()
                return unsafe try self.reconstructedMark(of: user)
            }
        }
    }

    /// Returns a mark in place of a damaged one. Its counter is the highest of all, so it differs from what the user
    /// had before the last change of anybody: caches are dropped too often then, and never kept too long.
    private func reconstructedMark(of user: UnsafeRawBufferPointer) throws(LMDBFailure) -> StateMark {
        let meta = self.reader.environment.tables.meta
        let tally = unsafe try self.reader.lmdb.get(meta, StateSchema.tallyKey) { unsafe StateTally($0) }
        guard let tally = tally ?? nil else { throw LMDBFailure(status: MDB_CORRUPTED) }
        var count = 0
        var newest: Int64?
        // The cursor is one of its own, as events may just be read.
        let cursor = try LMDBCursor(self.reader.lmdb, self.reader.environment.tables.events)
        if unsafe try cursor.seek(user) {
            count = try cursor.countDuplicates()
            newest = Int64.min
            if try cursor.move(MDB_LAST_DUP), let record = unsafe EventRecord(cursor.value, user: user) {
                newest = record.time
            }
        }
        return StateMark(counter: tally.counter, rewritten: tally.counter, eventCount: count, newest: newest)
    }

    /// Lends the user's events in order of time, those of one time in an order of their own, until `body` says false.
    /// O(events lent).
    package func forEachEvent(
        of user: Span<UInt8>,
        newestFirst: Bool,
        _ body: (_ item: Span<UInt8>, _ weight: Double, _ time: Int64) throws(AnnexError) -> Bool
    ) throws(AnnexError) {
        guard !user.isEmpty, user.count <= Identifier.maximumLength else { return }
        unsafe try user.withUnsafeBytes { user throws(AnnexError) in
            unsafe try self.walkEvents(of: user, newestFirst: newestFirst, body)
        }
    }

    private func walkEvents(
        of user: UnsafeRawBufferPointer,
        newestFirst: Bool,
        _ body: (_ item: Span<UInt8>, _ weight: Double, _ time: Int64) throws(AnnexError) -> Bool
    ) throws(AnnexError) {
        try self.reader.withEvents { cursor throws(AnnexError) in
            var isThere = try self.reader.check { () throws(LMDBFailure) in
                guard unsafe try cursor.seek(user) else { return false }
                return newestFirst ? try cursor.move(MDB_LAST_DUP) : true
            }
            while isThere {
                if let record = unsafe EventRecord(cursor.value, user: user) {
                    guard unsafe try body(Span(_unsafeBytes: record.item), record.weight, record.time) else { return }
                } else {
                    self.reader.skipDamaged()
                }
                isThere = try self.reader.check { () throws(LMDBFailure) in
                    try cursor.move(newestFirst ? MDB_PREV_DUP : MDB_NEXT_DUP)
                }
            }
        }
    }

    /// Copies of the ids of users with events, in the order of bytes, so that a walk over all of them can be made in short
    /// scopes. O(log users + limit).
    ///
    /// - Parameter last: the id that the part before ended with; nil begins.
    /// - Returns: at most `limit`; none at the end.
    package func users(after last: [UInt8]?, limit: Int) throws(AnnexError) -> [[UInt8]] {
        try self.reader.withEvents { cursor throws(AnnexError) in
            try self.reader.check { () throws(LMDBFailure) in
                var isThere = try cursor.moveBehind(last)
                var users: [[UInt8]] = []
                while isThere, users.count < limit {
                    users.append(unsafe Array(cursor.key))
                    isThere = try cursor.move(MDB_NEXT_NODUP)
                }
                return users
            }
        }
    }

    /// Lends the items that were removed for the user, and when, until `body` says false. The order is one of its own.
    /// O(tombstones lent).
    package func forEachRemoved(
        of user: Span<UInt8>,
        _ body: (_ item: Span<UInt8>, _ time: Int64) throws(AnnexError) -> Bool
    ) throws(AnnexError) {
        guard !user.isEmpty, user.count <= Identifier.maximumLength else { return }
        unsafe try user.withUnsafeBytes { user throws(AnnexError) in unsafe try self.walkRemoved(of: user, body) }
    }

    private func walkRemoved(
        of user: UnsafeRawBufferPointer,
        _ body: (_ item: Span<UInt8>, _ time: Int64) throws(AnnexError) -> Bool
    ) throws(AnnexError) {
        try self.reader.withRemoved { cursor throws(AnnexError) in
            var isThere = try self.reader.check { () throws(LMDBFailure) in unsafe try cursor.seek(user) }
            while isThere {
                if let record = unsafe TombstoneRecord(cursor.value, user: user) {
                    guard unsafe try body(Span(_unsafeBytes: record.item), record.time) else { return }
                } else {
                    self.reader.skipDamaged()
                }
                isThere = try self.reader.check { () throws(LMDBFailure) in try cursor.move(MDB_NEXT_DUP) }
            }
        }
    }

    /// Returns when an item was last removed for the user; nil where it was not. O(log tombstones).
    package func removedAt(_ user: Identifier, _ item: Identifier) throws(AnnexError) -> Int64? {
        let prefix = StateSchema.tombstonePrefix(item)
        return try self.reader.withRemoved { cursor throws(AnnexError) in
            var latest: Int64?
            var isThere = try self.reader.check { () throws(LMDBFailure) in try cursor.seek(user.bytes, from: prefix) }
            while isThere, unsafe cursor.value.starts(with: prefix) {
                let time = unsafe user.bytes.withUnsafeBytes { unsafe TombstoneRecord(cursor.value, user: $0)?.time }
                if let time { latest = max(time, latest ?? time) } else { self.reader.skipDamaged() }
                isThere = try self.reader.check { () throws(LMDBFailure) in try cursor.move(MDB_NEXT_DUP) }
            }
            return latest
        }
    }

    /// Tells whether the user has an event with the item in a range of times. O(log events) where there is an index of
    /// the user's events; else O(events in the range).
    package func hasEvent(
        _ user: Identifier,
        _ item: Identifier,
        in times: ClosedRange<Int64>
    ) throws(AnnexError) -> Bool {
        if let isThere = try self.indexHasEvent(user, item, in: times) { return isThere }
        var first: [UInt8] = []
        StateSchema.append(time: times.lowerBound, to: &first)
        return try self.reader.withEvents { cursor throws(AnnexError) in
            var isThere = try self.reader.check { () throws(LMDBFailure) in try cursor.seek(user.bytes, from: first) }
            while isThere {
                let found = unsafe user.bytes.withUnsafeBytes { id in
                    unsafe EventRecord(cursor.value, user: id).map { record in
                        unsafe (isAfter: record.time > times.upperBound, isOf: record.item.elementsEqual(item.bytes))
                    }
                }
                if let found, found.isAfter { return false }
                if let found, found.isOf { return true }
                if found == nil { self.reader.skipDamaged() }
                isThere = try self.reader.check { () throws(LMDBFailure) in try cursor.move(MDB_NEXT_DUP) }
            }
            return false
        }
    }

    /// Returns nil where there is no index to rely upon.
    private func indexHasEvent(
        _ user: Identifier,
        _ item: Identifier,
        in times: ClosedRange<Int64>
    ) throws(AnnexError) -> Bool? {
        guard self.reader.shared.isChecked.load(ordering: .sequentiallyConsistent),
            let items = self.reader.environment.tables.items
        else { return nil }
        return try self.reader.check { () throws(LMDBFailure) in
            let cursor = try LMDBCursor(self.reader.lmdb, items)
            guard try cursor.seek(user.bytes) else { return nil }
            guard try cursor.seek(user.bytes, from: StateSchema.indexEntry(item, times.lowerBound)) else {
                return false
            }
            let (name, value) = unsafe (StateSchema.tombstonePrefix(item), cursor.value)
            guard unsafe value.starts(with: name), value.count == name.count + 8 else { return false }
            return unsafe StateSchema.time(value, at: name.count) <= times.upperBound
        }
    }

    /// Returns when a user was forgotten; nil where the user was not. O(log forgotten).
    ///
    /// A damaged tombstone masks as well, at time `Int64.max`: no answer is better than one that draws on the user.
    ///
    /// - Parameter hash: the first 16 bytes of the SHA-256 of the user's id.
    package func forgottenAt(hash: [UInt8]) throws(AnnexError) -> Int64? {
        let tables = self.reader.environment.tables
        return unsafe try hash.span.withUnsafeBytes { hash throws(AnnexError) in
            try self.reader.check { () throws(LMDBFailure) in
                guard let value = unsafe try self.reader.lmdb.value(tables.forgotten, hash) else { return nil }
                if let time = unsafe ForgottenRecord.time(value, hash: hash) { return time }
                self.reader.skipDamaged()
                return Int64.max
            }
        }
    }
}
