package import AnnexCore
import CLMDB
import Synchronization

/// Reads a store's state, for one thread at a time. Allocates nothing per scope or call.
@safe package final class StateReader {
    let shared: StateShared
    private(set) var environment: StateEnvironment
    private(set) var raw: OpaquePointer
    private var events: ScopedCursor
    private var removed: ScopedCursor
    private var isInside = false

    init(_ shared: StateShared) throws(AnnexError) {
        shared.gate.enter()
        defer { shared.gate.leave() }
        try shared.checkMap()
        let environment = try shared.readableEnvironment()
        do throws(StoreFailure) {
            let raw = unsafe try environment.begin(readOnly: true)
            do throws(StoreFailure) {
                self.events = unsafe try ScopedCursor(StateCursor(raw, environment.tables.events), of: "events")
                self.removed = unsafe try ScopedCursor(StateCursor(raw, environment.tables.removed), of: "tombstones")
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
        try self.beginScope()
        defer { self.endScope() }
        return try body(StateView(self))
    }

    /// What `withRead` does before its body; `endScope` follows where this does not throw.
    func beginScope() throws(AnnexError) {
        precondition(!self.isInside, "a reader is used by two at a time")
        self.shared.gate.enter()
        self.isInside = true
        do throws(AnnexError) {
            try self.shared.checkMap()
            let status = unsafe mdb_txn_renew(self.raw)
            if status == MDB_PANIC {
                try self.moveToReadable()
            } else if status != 0 {
                throw StateFailure.error(status, "cannot begin reading", self.environment.path)
            }
        } catch {
            self.isInside = false
            self.shared.gate.leave()
            throw error
        }
    }

    func endScope() {
        unsafe mdb_txn_reset(self.raw)
        self.events.scopeEnded()
        self.removed.scopeEnded()
        self.isInside = false
        self.shared.gate.leave()
    }

    /// LMDB has given the environment up, though the file is readable.
    private func moveToReadable() throws(AnnexError) {
        let readable = try self.shared.readableEnvironment()
        do throws(StoreFailure) {
            let raw = unsafe try readable.begin(readOnly: true)
            do throws(StoreFailure) {
                let events = unsafe try ScopedCursor(StateCursor(raw, readable.tables.events), of: "events")
                let removed = unsafe try ScopedCursor(StateCursor(raw, readable.tables.removed), of: "tombstones")
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

    func withEvents<R>(_ body: (StateCursor) throws(AnnexError) -> R) throws(AnnexError) -> R {
        try self.events.lend(self, body)
    }

    func withRemoved<R>(_ body: (StateCursor) throws(AnnexError) -> R) throws(AnnexError) -> R {
        try self.removed.lend(self, body)
    }

    /// LMDB's refusals as errors for people.
    func check<R>(_ body: () throws(StoreFailure) -> R) throws(AnnexError) -> R {
        do throws(StoreFailure) { return try body() } catch {
            throw StateFailure.error(error.status, "cannot read", self.environment.path)
        }
    }

    func skipDamaged() { self.shared.damagedRecords.wrappingAdd(1, ordering: .relaxed) }

    func value(
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

/// A reader's cursor over one table: renewed at the first use within a scope, lent to one at a time.
private final class ScopedCursor {
    private let cursor: StateCursor
    private let name: StaticString
    private var isRenewed = false
    private var isLent = false

    init(_ cursor: StateCursor, of name: StaticString) { (self.cursor, self.name) = (cursor, name) }

    func scopeEnded() { self.isRenewed = false }

    func lend<R>(
        _ reader: StateReader,
        _ body: (StateCursor) throws(AnnexError) -> R
    ) throws(AnnexError) -> R {
        precondition(!self.isLent, "\(self.name) are read within reading \(self.name)")
        self.isLent = true
        defer { self.isLent = false }
        if !self.isRenewed {
            try reader.check { () throws(StoreFailure) in unsafe try self.cursor.renew(reader.raw) }
            self.isRenewed = true
        }
        return try body(self.cursor)
    }
}
