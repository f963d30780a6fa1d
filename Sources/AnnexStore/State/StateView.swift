package import AnnexCore
import CLMDB

/// The state at one moment, lent by `StateReader.withRead`. What it lends lives as long as the scope.
///
/// Ids of any length may be asked for. Records with a wrong checksum are skipped and counted. A body that is lent events
/// may call everything but what lends events, and likewise for tombstones.
package struct StateView: ~Copyable {
    private let reader: StateReader

    init(_ reader: StateReader) { self.reader = reader }

    /// Whether anybody was forgotten. O(1).
    package var hasForgotten: Bool {
        get throws(AnnexError) {
            let table = self.reader.environment.tables.forgotten
            return try self.reader.check { () throws(LMDBFailure) in try self.reader.lmdb.count(table) > 0 }
        }
    }

    /// The user's mark, which changes with every change of the user, so that a cache can be compared with it; nil where nothing
    /// is stored of the user: then `forgottenAt` says whether something was. O(log users).
    package func mark(of user: UnsafeRawBufferPointer) throws(AnnexError) -> StateMark? {
        let tables = self.reader.environment.tables
        return try self.reader.check { () throws(LMDBFailure) in
            guard let value = unsafe try self.reader.lmdb.value(tables.users, user) else { return nil }
            if let mark = unsafe StateMark(value, user: user) { return mark }
            self.reader.skipDamaged()
            return unsafe try self.reconstructedMark(of: user)
        }
    }

    /// A mark in place of a damaged one. Its counter is the highest of all, so it differs from what the user had before
    /// the last change of anybody: caches are dropped too often then, and never kept too long.
    private func reconstructedMark(of user: UnsafeRawBufferPointer) throws(LMDBFailure) -> StateMark {
        let meta = self.reader.environment.tables.meta
        let tally = unsafe try self.reader.lmdb.get(meta, StateSchema.tallyKey) { unsafe StateTally($0) }
        guard let tally = tally ?? nil else { throw LMDBFailure(status: MDB_CORRUPTED) }
        var count = 0
        var newest: Int64?
        // Of its own, as events may just be read.
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
        of user: UnsafeRawBufferPointer,
        newestFirst: Bool,
        _ body: (_ item: UnsafeRawBufferPointer, _ weight: Double, _ time: Int64) throws(AnnexError) -> Bool
    ) throws(AnnexError) {
        guard unsafe !user.isEmpty, user.count <= Identifier.maximumLength else { return }
        try self.reader.withEvents { cursor throws(AnnexError) in
            var isThere = try self.reader.check { () throws(LMDBFailure) in
                guard unsafe try cursor.seek(user) else { return false }
                return newestFirst ? try cursor.move(MDB_LAST_DUP) : true
            }
            while isThere {
                if let record = unsafe EventRecord(cursor.value, user: user) {
                    guard unsafe try body(record.item, record.weight, record.time) else { return }
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
        of user: UnsafeRawBufferPointer,
        _ body: (_ item: UnsafeRawBufferPointer, _ time: Int64) throws(AnnexError) -> Bool
    ) throws(AnnexError) {
        guard unsafe !user.isEmpty, user.count <= Identifier.maximumLength else { return }
        try self.reader.withRemoved { cursor throws(AnnexError) in
            var isThere = try self.reader.check { () throws(LMDBFailure) in unsafe try cursor.seek(user) }
            while isThere {
                if let record = unsafe TombstoneRecord(cursor.value, user: user) {
                    guard unsafe try body(record.item, record.time) else { return }
                } else {
                    self.reader.skipDamaged()
                }
                isThere = try self.reader.check { () throws(LMDBFailure) in try cursor.move(MDB_NEXT_DUP) }
            }
        }
    }

    /// When a user was forgotten; nil where not. O(log forgotten).
    ///
    /// A damaged tombstone masks as well, at time `Int64.max`: better no answer than one that draws on the user.
    ///
    /// - Parameter hash: the first 16 bytes of the SHA-256 of the user's id.
    package func forgottenAt(hash: UnsafeRawBufferPointer) throws(AnnexError) -> Int64? {
        let tables = self.reader.environment.tables
        return try self.reader.check { () throws(LMDBFailure) in
            guard let value = unsafe try self.reader.lmdb.value(tables.forgotten, hash) else { return nil }
            if let time = unsafe ForgottenRecord.time(value, hash: hash) { return time }
            self.reader.skipDamaged()
            return Int64.max
        }
    }
}
