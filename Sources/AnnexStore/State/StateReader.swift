package import AnnexCore
import CLMDB
import Synchronization

/// Reads a store's state, for one thread at a time. Allocates nothing per scope or call.
@safe package final class StateReader {
    private let shared: StateShared
    fileprivate var environment: StateEnvironment
    fileprivate var raw: OpaquePointer
    private var events: StateCursor
    private var removed: StateCursor
    private var isEventsRenewed = false
    private var isRemovedRenewed = false
    private var isInside = false

    init(_ shared: StateShared) throws(AnnexError) {
        shared.gate.enter()
        defer { shared.gate.leave() }
        try shared.checkMap()
        let environment = try shared.readableEnvironment()
        do throws(StoreFailure) {
            let raw = unsafe try environment.begin(readOnly: true)
            do throws(StoreFailure) {
                self.events = unsafe try StateCursor(raw, environment.tables.events)
                self.removed = unsafe try StateCursor(raw, environment.tables.removed)
            } catch {
                unsafe mdb_txn_abort(raw)
                throw error
            }
            unsafe mdb_txn_reset(raw)
            unsafe self.raw = raw
            self.environment = environment
            self.shared = shared
        } catch {
            let hint = error.status == MDB_READERS_FULL ? "Use fewer threads, or raise the limit of readers" : nil
            let reason = StateFailure.reason(error.status)
            throw AnnexError(
                error.status == MDB_READERS_FULL ? .limit : .system,
                "cannot begin reading: \(reason)",
                at: environment.path,
                hint: hint
            )
        }
    }

    deinit { unsafe mdb_txn_abort(self.raw) }

    /// Lends a view of the state as of now: with everything that was acknowledged before, and with nothing that comes
    /// while `body` runs.
    ///
    /// Keep it short, under a millisecond or so: the map grows only when nobody is inside. Waits for that at most some
    /// 10 ms; otherwise it does not block. Do not call it from its own body.
    package func withRead<R>(_ body: (borrowing StateView) throws(AnnexError) -> R) throws(AnnexError) -> R {
        precondition(!self.isInside, "a reader is used by two at a time")
        self.shared.gate.enter()
        self.isInside = true
        defer {
            self.isInside = false
            self.shared.gate.leave()
        }
        try self.shared.checkMap()
        let status = unsafe mdb_txn_renew(self.raw)
        if status == MDB_PANIC {
            try self.moveToReadable()
        } else if status != 0 {
            throw StateFailure.error(status, "cannot begin reading", self.environment.path)
        }
        defer {
            unsafe mdb_txn_reset(self.raw)
            self.isEventsRenewed = false
            self.isRemovedRenewed = false
        }
        return try body(StateView(self))
    }

    /// LMDB has given the environment up, though the file is readable.
    private func moveToReadable() throws(AnnexError) {
        let readable = try self.shared.readableEnvironment()
        do throws(StoreFailure) {
            let raw = unsafe try readable.begin(readOnly: true)
            do throws(StoreFailure) {
                let events = unsafe try StateCursor(raw, readable.tables.events)
                let removed = unsafe try StateCursor(raw, readable.tables.removed)
                (self.events, self.removed) = (events, removed)
            } catch {
                unsafe mdb_txn_abort(raw)
                throw error
            }
            unsafe mdb_txn_abort(self.raw)
            unsafe self.raw = raw
            self.environment = readable
        } catch { throw StateFailure.error(error.status, "cannot begin reading", readable.path) }
    }

    // MARK: For the view

    fileprivate func eventsCursor() throws(StoreFailure) -> StateCursor {
        if !self.isEventsRenewed { unsafe try self.events.renew(self.raw) }
        self.isEventsRenewed = true
        return self.events
    }

    fileprivate func removedCursor() throws(StoreFailure) -> StateCursor {
        if !self.isRemovedRenewed { unsafe try self.removed.renew(self.raw) }
        self.isRemovedRenewed = true
        return self.removed
    }

    fileprivate func skipDamaged() { self.shared.damagedRecords.wrappingAdd(1, ordering: .relaxed) }

    fileprivate func value(
        _ table: MDB_dbi,
        _ key: UnsafeRawBufferPointer
    ) throws(StoreFailure) -> UnsafeRawBufferPointer? {
        guard unsafe !key.isEmpty, key.count <= Identifier.maximumLength else { return nil }
        var name = unsafe MDB_val(mv_size: key.count, mv_data: UnsafeMutableRawPointer(mutating: key.baseAddress))
        var value = unsafe MDB_val()
        let status = unsafe mdb_get(self.raw, table, &name, &value)
        if status == MDB_NOTFOUND { return nil }
        try StoreFailure.check(status)
        return unsafe UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size)
    }
}

/// The state at one moment, lent by `StateReader.withRead`. What it lends lives as long as the scope.
///
/// Ids of any length may be asked for. Records with a wrong checksum are skipped and counted.
package struct StateView: ~Copyable {
    private let reader: StateReader

    fileprivate init(_ reader: StateReader) { self.reader = reader }

    /// What to compare with what a cache was made from; nil where nothing was ever known of the user. O(log users).
    package func mark(of user: UnsafeRawBufferPointer) throws(AnnexError) -> StateMark? {
        let tables = self.reader.environment.tables
        return try self.reading { () throws(StoreFailure) in
            guard let value = unsafe try self.reader.value(tables.users, user) else { return nil }
            if let mark = unsafe StateMark(value, user: user) { return mark }
            self.reader.skipDamaged()
            return unsafe try self.reconstructedMark(of: user)
        }
    }

    /// In the place of a damaged one. Its counter is the highest of all, so it differs from what the user had before
    /// the last change of anybody: caches are dropped too often then, and never kept too long.
    private func reconstructedMark(of user: UnsafeRawBufferPointer) throws(StoreFailure) -> StateMark {
        let tally = unsafe try StateBytes.get(
            self.reader.raw,
            self.reader.environment.tables.meta,
            StateSchema.tallyKey
        ) {
            unsafe StateTally($0)
        }
        guard let tally = tally ?? nil else { throw StoreFailure(status: MDB_CORRUPTED) }
        var count = 0
        var newest: Int64?
        let cursor = try self.reader.eventsCursor()
        if unsafe try cursor.seek(user) {
            count = try cursor.countDuplicates()
            newest = Int64.min
            if try cursor.move(MDB_LAST_DUP), let record = unsafe EventRecord(cursor.value, user: user) {
                newest = record.time
            }
        }
        return StateMark(counter: tally.counter, eventCount: count, newest: newest)
    }

    /// Lends the user's events in order of time, those of one time in an order of their own, until `body` says false.
    /// O(events lent).
    package func forEachEvent(
        of user: UnsafeRawBufferPointer,
        newestFirst: Bool,
        _ body: (_ item: UnsafeRawBufferPointer, _ weight: Double, _ time: Int64) throws(AnnexError) -> Bool
    ) throws(AnnexError) {
        guard unsafe !user.isEmpty, user.count <= Identifier.maximumLength else { return }
        let cursor = try self.reading { () throws(StoreFailure) in
            let cursor = try self.reader.eventsCursor()
            guard unsafe try cursor.seek(user) else { return nil as StateCursor? }
            if newestFirst { _ = try cursor.move(MDB_LAST_DUP) }
            return cursor
        }
        guard let cursor else { return }
        let step = newestFirst ? MDB_PREV_DUP : MDB_NEXT_DUP
        var isThere = true
        while isThere {
            if let record = unsafe EventRecord(cursor.value, user: user) {
                guard unsafe try body(record.item, record.weight, record.time) else { return }
            } else {
                self.reader.skipDamaged()
            }
            isThere = try self.reading { () throws(StoreFailure) in try cursor.move(step) }
        }
    }

    /// Lends the items that were removed for the user, and when, until `body` says false. The order is one of its own.
    /// O(tombstones lent).
    package func forEachRemoved(
        of user: UnsafeRawBufferPointer,
        _ body: (_ item: UnsafeRawBufferPointer, _ time: Int64) throws(AnnexError) -> Bool
    ) throws(AnnexError) {
        guard unsafe !user.isEmpty, user.count <= Identifier.maximumLength else { return }
        let cursor = try self.reading { () throws(StoreFailure) in
            let cursor = try self.reader.removedCursor()
            return unsafe try cursor.seek(user) ? cursor : nil
        }
        guard let cursor else { return }
        var isThere = true
        while isThere {
            if let record = unsafe TombstoneRecord(cursor.value, user: user) {
                guard unsafe try body(record.item, record.time) else { return }
            } else {
                self.reader.skipDamaged()
            }
            isThere = try self.reading { () throws(StoreFailure) in try cursor.move(MDB_NEXT_DUP) }
        }
    }

    /// When a user was forgotten; nil where not. O(log forgotten).
    ///
    /// A damaged tombstone masks as well, at time `Int64.max`: better no answer than one that draws on the user.
    ///
    /// - Parameter hash: the first 16 bytes of the SHA-256 of the user's id.
    package func forgottenAt(hash: UnsafeRawBufferPointer) throws(AnnexError) -> Int64? {
        let tables = self.reader.environment.tables
        return try self.reading { () throws(StoreFailure) in
            guard let value = unsafe try self.reader.value(tables.forgotten, hash) else { return nil }
            if let time = unsafe ForgottenRecord.time(value, hash: hash) { return time }
            self.reader.skipDamaged()
            return Int64.max
        }
    }

    private func reading<R>(_ body: () throws(StoreFailure) -> R) throws(AnnexError) -> R {
        do throws(StoreFailure) { return try body() } catch {
            throw StateFailure.error(error.status, "cannot read", self.reader.environment.path)
        }
    }
}
