import AnnexCore
import CLMDB
import Glibc

/// One LMDB file, opened once in the process.
///
/// Read-only files are opened without a lock file, so a version may lie on a read-only disk; the file must not change.
/// Files that are written grow their map by themselves. Transactions are not tied to threads (`MDB_NOTLS`).
///
/// Unchecked because LMDB's environment is safe to use from all threads; resizing happens only on the one thread that
/// writes, between transactions.
@safe final class StoreEnvironment: @unchecked Sendable {
    let path: String
    private let raw: OpaquePointer
    /// Handles of the named tables of a read-only file. LMDB lets only one transaction at a time open handles, and
    /// frees them with it unless it is committed: so they are opened once, here, and shared.
    private let tables: [String: MDB_dbi]

    /// Opens a file that exists and does not change, with all the tables that will be read, once `PageCheck` has walked
    /// it. O(pages).
    ///
    /// - Parameter optional: tables that may be missing.
    init(readOnly path: String, tables names: [String], optional: [String] = []) throws(AnnexError) {
        try PageCheck.check(path)
        self.path = path
        let environment = unsafe try Self.create(path)
        unsafe self.raw = environment
        do throws(AnnexError) {
            unsafe try Self.open(
                unsafe environment,
                path,
                UInt32(MDB_NOSUBDIR) | UInt32(MDB_NOTLS) | UInt32(MDB_RDONLY) | UInt32(MDB_NOLOCK)
            )
            self.tables = unsafe try Self.openTables(unsafe environment, path, names, optional)
        } catch {
            // Not all members are set, so deinit does not run.
            unsafe mdb_env_close(environment)
            throw error
        }
    }

    private static func openTables(
        _ environment: OpaquePointer,
        _ path: String,
        _ names: [String],
        _ optional: [String]
    ) throws(AnnexError) -> [String: MDB_dbi] {
        var begun: OpaquePointer?
        try StoreFailure.check(
            unsafe mdb_txn_begin(environment, nil, UInt32(MDB_RDONLY), &begun),
            "cannot begin reading",
            path
        )
        var tables: [String: MDB_dbi] = [:]
        for name in names + optional {
            var table: MDB_dbi = 0
            let status = unsafe mdb_dbi_open(begun, name, 0, &table)
            if status == MDB_NOTFOUND, optional.contains(name) { continue }
            guard status == 0 else {
                unsafe mdb_txn_abort(begun)
                throw StoreFailure(status: status).described("has no table '\(name)'", path)
            }
            tables[name] = table
        }
        try StoreFailure.check(unsafe mdb_txn_commit(begun), "cannot open the tables", path)
        return tables
    }

    /// Makes a new file for one writer and no reader. The caller flushes with `sync`.
    init(creating path: String) throws(AnnexError) {
        self.path = path
        guard unsafe access(path, F_OK) != 0 else { throw AnnexError(.system, "already exists", at: path) }
        let environment = unsafe try Self.create(path)
        unsafe self.raw = environment
        _ = unsafe mdb_env_set_mapsize(environment, 1 << 20)
        self.tables = [:]
        // All members are set: where this throws, deinit closes.
        unsafe try Self.open(unsafe environment, path, UInt32(MDB_NOSUBDIR) | UInt32(MDB_NOTLS) | UInt32(MDB_NOLOCK))
    }

    deinit { unsafe mdb_env_close(self.raw) }

    private static func create(_ path: String) throws(AnnexError) -> OpaquePointer {
        var environment: OpaquePointer?
        try StoreFailure.check(unsafe mdb_env_create(&environment), "cannot make an environment", path)
        guard let environment = unsafe environment else { throw AnnexError(.system, "LMDB made nothing", at: path) }
        _ = unsafe mdb_env_set_maxdbs(environment, 8)
        return unsafe environment
    }

    private static func open(_ environment: OpaquePointer, _ path: String, _ flags: UInt32) throws(AnnexError) {
        try StoreFailure.check(unsafe mdb_env_open(environment, path, flags, 0o644), "cannot open", path)
    }

    /// The handle of a table that `init` was told of.
    func table(_ name: String) -> MDB_dbi {
        guard let table = self.tables[name] else { preconditionFailure("table '\(name)' was not opened with the file") }
        return table
    }

    /// The handle of an optional table; nil where the file has none of that name.
    func optionalTable(_ name: String) -> MDB_dbi? { self.tables[name] }

    // MARK: Reading

    /// A read transaction that stays open: the file does not change, so its values stay valid too.
    func makeSnapshot() throws(AnnexError) -> StoreSnapshot {
        var transaction: OpaquePointer?
        try StoreFailure.check(
            unsafe mdb_txn_begin(self.raw, nil, UInt32(MDB_RDONLY), &transaction),
            "cannot begin reading",
            self.path
        )
        guard let transaction = unsafe transaction else {
            throw AnnexError(.system, "LMDB began nothing", at: self.path)
        }
        return unsafe StoreSnapshot(self, takingOwnership: transaction)
    }

    // MARK: Writing

    /// Runs `body` in a write transaction, which is committed unless `body` throws. Where the map is full it is made
    /// twice as large and `body` runs again from the start: it must not change anything outside.
    func write(_ body: (OpaquePointer) throws(StoreFailure) -> Void) throws(AnnexError) {
        while true {
            var begun: OpaquePointer?
            try StoreFailure.check(unsafe mdb_txn_begin(self.raw, nil, 0, &begun), "cannot begin writing", self.path)
            guard let transaction = unsafe begun else { throw AnnexError(.system, "LMDB began nothing", at: self.path) }
            do throws(StoreFailure) {
                do throws(StoreFailure) {
                    unsafe try body(transaction)
                } catch {
                    unsafe mdb_txn_abort(transaction)
                    throw error
                }
                let status = unsafe mdb_txn_commit(transaction)
                guard status == 0 else { throw StoreFailure(status: status) }
                return
            } catch  where error.status == MDB_MAP_FULL {
                try self.grow()
            } catch {
                throw error.described("cannot write", self.path)
            }
        }
    }

    private func grow() throws(AnnexError) {
        var info = unsafe MDB_envinfo()
        unsafe mdb_env_info(self.raw, &info)
        try StoreFailure.check(
            unsafe mdb_env_set_mapsize(self.raw, info.me_mapsize * 2),
            "cannot enlarge the map",
            self.path
        )
    }

    /// Flushes the file to the disk.
    func sync() throws(AnnexError) {
        try StoreFailure.check(unsafe mdb_env_sync(self.raw, 1), "cannot flush", self.path)
    }
}

/// LMDB's status, on its way to an error for people.
struct StoreFailure: Error {
    let status: Int32

    func described(_ what: String, _ path: String) -> AnnexError {
        let reason = unsafe String(cString: mdb_strerror(self.status))
        let damaged = [MDB_CORRUPTED, MDB_INVALID, MDB_VERSION_MISMATCH, MDB_PAGE_NOTFOUND, MDB_NOTFOUND].contains(
            self.status
        )
        return AnnexError(damaged ? .damaged : .system, "\(what): \(reason)", at: path)
    }

    static func check(_ status: Int32, _ what: String, _ path: String) throws(AnnexError) {
        guard status == 0 else { throw StoreFailure(status: status).described(what, path) }
    }

    static func check(_ status: Int32) throws(StoreFailure) {
        guard status == 0 else { throw StoreFailure(status: status) }
    }
}

/// An open read transaction of a file that does not change. Used by one thread at a time.
@safe final class StoreSnapshot {
    private let environment: StoreEnvironment
    private let raw: OpaquePointer

    init(_ environment: StoreEnvironment, takingOwnership raw: OpaquePointer) {
        self.environment = environment
        unsafe self.raw = raw
    }

    deinit { unsafe mdb_txn_abort(self.raw) }

    func count(_ table: MDB_dbi) throws(AnnexError) -> Int {
        var status = MDB_stat()
        try StoreFailure.check(unsafe mdb_stat(self.raw, table, &status), "cannot count", self.environment.path)
        return Int(clamping: status.ms_entries)
    }

    /// Lends the value of a key; nil where there is none, or the key is no possible one. Allocates nothing.
    func withValue<R>(
        _ table: MDB_dbi,
        _ key: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer?) -> R
    ) -> R {
        guard unsafe !key.isEmpty, key.count <= Identifier.maximumLength else { return body(nil) }
        var name = unsafe MDB_val(mv_size: key.count, mv_data: UnsafeMutableRawPointer(mutating: key.baseAddress))
        var value = unsafe MDB_val()
        guard unsafe mdb_get(self.raw, table, &name, &value) == 0 else { return body(nil) }
        return unsafe body(UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size))
    }

    /// Every key and value, in byte order of the keys, until `body` says false.
    func forEach(
        _ table: MDB_dbi,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(AnnexError) -> Bool
    ) throws(AnnexError) {
        var cursor: OpaquePointer?
        try StoreFailure.check(unsafe mdb_cursor_open(self.raw, table, &cursor), "cannot read", self.environment.path)
        defer { unsafe mdb_cursor_close(cursor) }
        var key = unsafe MDB_val()
        var value = unsafe MDB_val()
        var status = unsafe mdb_cursor_get(cursor, &key, &value, MDB_FIRST)
        while status == 0 {
            let goOn = unsafe try body(
                UnsafeRawBufferPointer(start: key.mv_data, count: key.mv_size),
                UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size)
            )
            guard goOn else { return }
            status = unsafe mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
        }
        guard status == MDB_NOTFOUND else {
            throw StoreFailure(status: status).described("cannot read", self.environment.path)
        }
    }
}
