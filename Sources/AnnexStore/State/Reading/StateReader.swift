package import AnnexCore
import CLMDB
import Synchronization

/// Reads a store's state, for one thread at a time. Allocates nothing per scope or call.
package final class StateReader {
    let shared: StateShared
    private(set) var environment: StateEnvironment
    private(set) var lmdb: LMDBTransaction
    private var events: ScopedCursor
    private var removed: ScopedCursor
    private var isInside = false

    init(_ shared: StateShared) throws(AnnexError) {
        shared.gate.enter()
        defer { shared.gate.leave() }
        try shared.checkMap()
        let environment = try shared.readableEnvironment()
        do throws(LMDBFailure) {
            let transaction = try environment.file.begin(readOnly: true)
            self.events = try ScopedCursor(LMDBCursor(transaction, environment.tables.events), of: "events")
            self.removed = try ScopedCursor(LMDBCursor(transaction, environment.tables.removed), of: "tombstones")
            transaction.reset()
            self.lmdb = transaction
            self.environment = environment
            self.shared = shared
        } catch {
            let isFull = error.status == MDB_READERS_FULL
            throw AnnexError(
                isFull ? .limit : .system,
                "cannot begin reading: \(error.reason)",
                at: environment.path,
                hint: isFull ? "Start the server with fewer --threads" : nil
            )
        }
    }

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

    /// Begins a scope, as `withRead` does before its body. Where this does not throw, `endScope` must follow.
    func beginScope() throws(AnnexError) {
        precondition(!self.isInside, "a reader is used by two at a time")
        self.shared.gate.enter()
        self.isInside = true
        do throws(AnnexError) {
            try self.shared.checkMap()
            let status = self.lmdb.renew()
            if status == MDB_PANIC {
                try self.moveToReadable()
            } else if status != 0 {
                throw LMDBFailure(status: status).error("cannot begin reading", self.environment.path, .state)
            }
        } catch {
            self.isInside = false
            self.shared.gate.leave()
            throw error
        }
    }

    func endScope() {
        self.lmdb.reset()
        self.events.scopeEnded()
        self.removed.scopeEnded()
        self.isInside = false
        self.shared.gate.leave()
    }

    /// LMDB has given the environment up, though the file is readable.
    private func moveToReadable() throws(AnnexError) {
        let readable = try self.shared.readableEnvironment()
        do throws(LMDBFailure) {
            let transaction = try readable.file.begin(readOnly: true)
            self.events = try ScopedCursor(LMDBCursor(transaction, readable.tables.events), of: "events")
            self.removed = try ScopedCursor(LMDBCursor(transaction, readable.tables.removed), of: "tombstones")
            self.lmdb = transaction
            self.environment = readable
        } catch { throw error.error("cannot begin reading", readable.path, .state) }
    }

    // MARK: For the view

    func withEvents<R>(_ body: (LMDBCursor) throws(AnnexError) -> R) throws(AnnexError) -> R {
        try self.events.lend(self, body)
    }

    func withRemoved<R>(_ body: (LMDBCursor) throws(AnnexError) -> R) throws(AnnexError) -> R {
        try self.removed.lend(self, body)
    }

    /// Turns LMDB's refusals into errors for people.
    func check<R>(_ body: () throws(LMDBFailure) -> R) throws(AnnexError) -> R {
        do throws(LMDBFailure) { return try body() } catch {
            throw error.error("cannot read", self.environment.path, .state)
        }
    }

    func skipDamaged() { self.shared.damagedRecords.wrappingAdd(1, ordering: .relaxed) }
}

/// Holds a reader's cursor over one table. It is renewed at the first use within a scope, and lent to one at a time.
private final class ScopedCursor {
    private let cursor: LMDBCursor
    private let name: StaticString
    private var isRenewed = false
    private var isLent = false

    init(_ cursor: LMDBCursor, of name: StaticString) { (self.cursor, self.name) = (cursor, name) }

    func scopeEnded() { self.isRenewed = false }

    func lend<R>(
        _ reader: StateReader,
        _ body: (LMDBCursor) throws(AnnexError) -> R
    ) throws(AnnexError) -> R {
        precondition(!self.isLent, "\(self.name) are read within reading \(self.name)")
        self.isLent = true
        defer { self.isLent = false }
        if !self.isRenewed {
            try reader.check { () throws(LMDBFailure) in try self.cursor.renew(reader.lmdb) }
            self.isRenewed = true
        }
        return try body(self.cursor)
    }
}
