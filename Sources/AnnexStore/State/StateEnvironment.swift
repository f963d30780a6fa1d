import AnnexCore
import CLMDB
import Glibc

/// `state.lmdb`, opened. It closes when the last of the store, its writer and its readers goes.
///
/// Unchecked because LMDB's environment is safe to use from all threads, and the only call that is not, resizing the
/// map, happens on the one thread that writes, between its transactions, while `ReadGate` keeps readers out.
@safe final class StateEnvironment: @unchecked Sendable {
    struct Tables {
        var meta: MDB_dbi = 0
        var events: MDB_dbi = 0
        var removed: MDB_dbi = 0
        /// Nil in a file of format 1.
        var items: MDB_dbi?
        var forgotten: MDB_dbi = 0
        var users: MDB_dbi = 0
    }

    enum Mode {
        /// Without a lock file: for files that nobody else has open and nobody writes any more.
        case readOnly
        case readWrite(readers: Int)
        /// Beside the process that writes it, as one of its readers.
        case beside
        /// A new file, for a moment.
        case create
    }

    let path: String
    let tables: Tables
    private let raw: OpaquePointer
    /// Held as long as the file is open; nil beside the process that holds it.
    private let folder: StateFolder?

    /// Opens the file as it is, or makes it.
    ///
    /// - Throws: `.damaged` where it is no file of the kind, `.system` where it may not be written.
    init(_ path: String, in folder: StateFolder?, mode: Mode, mapBytes: Int) throws(AnnexError) {
        self.path = path
        self.folder = folder
        var created: OpaquePointer?
        try StoreFailure.check(unsafe mdb_env_create(&created), "cannot make an environment", path)
        guard let environment = unsafe created else { throw AnnexError(.system, "LMDB made nothing", at: path) }
        unsafe self.raw = environment
        _ = unsafe mdb_env_set_maxdbs(environment, 8)
        _ = unsafe mdb_env_set_mapsize(environment, mapBytes)
        do throws(AnnexError) {
            unsafe try Self.open(environment, path, mode)
            self.tables = unsafe try Self.openTables(environment, path, mode)
        } catch {
            // Not all members are set, so deinit does not run.
            unsafe mdb_env_close(environment)
            throw error
        }
    }

    deinit { unsafe mdb_env_close(self.raw) }

    private static func open(_ environment: OpaquePointer, _ path: String, _ mode: Mode) throws(AnnexError) {
        var flags = UInt32(MDB_NOSUBDIR) | UInt32(MDB_NOTLS)
        switch mode {
        case .readOnly: flags |= UInt32(MDB_RDONLY) | UInt32(MDB_NOLOCK)
        case .create: flags |= UInt32(MDB_NOLOCK)
        case .beside: flags |= UInt32(MDB_RDONLY)
        case .readWrite(let readers):
            let status = unsafe mdb_env_set_maxreaders(environment, UInt32(clamping: readers))
            try StoreFailure.check(status, "cannot have \(readers) readers", path)
        }
        let status = unsafe mdb_env_open(environment, path, flags, 0o644)
        guard status == 0 else { throw StateFailure.error(status, "cannot open", path) }
        // LMDB closes its other descriptors when a child starts, but not this one.
        var descriptor: Int32 = -1
        if unsafe mdb_env_get_fd(environment, &descriptor) == 0 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    }

    private static func openTables(
        _ environment: OpaquePointer,
        _ path: String,
        _ mode: Mode
    ) throws(AnnexError) -> Tables {
        var isWriting = false
        if case .create = mode { isWriting = true }
        var begun: OpaquePointer?
        let status = unsafe mdb_txn_begin(environment, nil, isWriting ? 0 : UInt32(MDB_RDONLY), &begun)
        guard status == 0, let transaction = unsafe begun else {
            throw StateFailure.error(status, "cannot begin", path)
        }
        var tables = Tables()
        do throws(AnnexError) {
            let plain = isWriting ? UInt32(MDB_CREATE) : 0
            let sorted = plain | UInt32(MDB_DUPSORT)
            tables.meta = unsafe try Self.table(transaction, StateSchema.meta, plain, path)
            tables.events = unsafe try Self.table(transaction, StateSchema.events, sorted, path)
            tables.removed = unsafe try Self.table(transaction, StateSchema.removed, sorted, path)
            tables.forgotten = unsafe try Self.table(transaction, StateSchema.forgotten, plain, path)
            tables.users = unsafe try Self.table(transaction, StateSchema.users, plain, path)
            let hasIndex = unsafe try Self.has(transaction, StateSchema.items, path)
            if isWriting || hasIndex {
                tables.items = unsafe try Self.table(transaction, StateSchema.items, sorted, path)
            }
        } catch {
            unsafe mdb_txn_abort(transaction)
            throw error
        }
        let end = unsafe mdb_txn_commit(transaction)
        guard end == 0 else { throw StateFailure.error(end, "cannot open the tables", path) }
        return tables
    }

    private static func has(_ transaction: OpaquePointer, _ name: String, _ path: String) throws(AnnexError) -> Bool {
        var table: MDB_dbi = 0
        let status = unsafe mdb_dbi_open(transaction, name, UInt32(MDB_DUPSORT), &table)
        if status == MDB_NOTFOUND { return false }
        guard status == 0 else { throw StateFailure.error(status, "cannot open table '\(name)'", path) }
        return true
    }

    private static func table(
        _ transaction: OpaquePointer,
        _ name: String,
        _ flags: UInt32,
        _ path: String
    ) throws(AnnexError) -> MDB_dbi {
        var table: MDB_dbi = 0
        var kind: UInt32 = 0
        let status = unsafe mdb_dbi_open(transaction, name, flags, &table)
        guard status == 0, unsafe mdb_dbi_flags(transaction, table, &kind) == 0,
            kind == flags & UInt32(MDB_DUPSORT)
        else {
            let reason = status == 0 ? "table '\(name)' is of another kind" : "has no table '\(name)'"
            throw AnnexError(.damaged, reason, at: path, hint: StateFailure.restore)
        }
        return table
    }

    // MARK: Transactions

    /// A transaction whose owner ends it before the environment goes.
    func begin(readOnly: Bool) throws(StoreFailure) -> OpaquePointer {
        var begun: OpaquePointer?
        try StoreFailure.check(unsafe mdb_txn_begin(self.raw, nil, readOnly ? UInt32(MDB_RDONLY) : 0, &begun))
        guard let transaction = unsafe begun else { throw StoreFailure(status: MDB_PANIC) }
        return unsafe transaction
    }

    /// Whether LMDB has given this environment up, reading included: so it does when its first page cannot be written.
    var hasPanicked: Bool {
        do throws(StoreFailure) {
            unsafe mdb_txn_abort(try self.begin(readOnly: true))
            return false
        } catch { return error.status == MDB_PANIC }
    }

    /// Frees the places of readers that died. Returns how many.
    @discardableResult func dropDeadReaders() -> Int {
        var dead: Int32 = 0
        _ = unsafe mdb_reader_check(self.raw, &dead)
        return Int(dead)
    }

    // MARK: Size

    var mapBytes: Int {
        var info = unsafe MDB_envinfo()
        unsafe mdb_env_info(self.raw, &info)
        return unsafe info.me_mapsize
    }

    var fileBytes: Int {
        var status = stat()
        return unsafe stat(self.path, &status) == 0 ? Int(status.st_size) : 0
    }

    /// Sets the size of the map. No transaction is open.
    ///
    /// - Returns: LMDB's status. Where it cannot have the new size it gets the one it had; where not even that, nothing
    ///   may be read or written any more, and this is MDB_PANIC.
    func resize(to bytes: Int) -> Int32 {
        let before = self.mapBytes
        // LMDB lets go of the old map first: so whether there is room for the new one is tried apart.
        guard let trial = unsafe mmap(nil, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
            unsafe trial != MAP_FAILED
        else { return ENOMEM }
        unsafe munmap(trial, bytes)
        let status = unsafe mdb_env_set_mapsize(self.raw, bytes)
        if status != 0, unsafe mdb_env_set_mapsize(self.raw, before) != 0 { return MDB_PANIC }
        return status
    }

    /// A copy without free pages, as of now; the file must not exist. Blocks; writing goes on.
    func copy(to path: String) -> Int32 { unsafe mdb_env_copy2(self.raw, path, UInt32(MDB_CP_COMPACT)) }
}
