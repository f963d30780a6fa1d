import AnnexCore
import CLMDB
import Glibc

/// Holds one LMDB file, opened once in the process. It closes when the last that holds it goes.
///
/// Transactions are not tied to threads (`MDB_NOTLS`). Unchecked because LMDB's environment is safe to use from all threads;
/// the one call that is not, resizing the map, is made by the only thread that writes, between its transactions, while no
/// other thread reads (`ReadGate`).
@safe final class LMDBEnvironment: @unchecked Sendable {
    enum Mode {
        /// Opens without a lock file. It is for files that nobody writes any more, on a read-only disk too.
        case readOnly
        case readWrite(readers: Int)
        /// Opens a file beside the process that writes it, as one of its readers.
        case beside
        /// Makes a new file, which has one writer and no reader.
        case create
    }

    private static let tableLimit: UInt32 = 8

    let path: String
    let kind: LMDBFileKind
    private let raw: OpaquePointer

    /// Opens the file as it is, or makes it.
    ///
    /// - Parameter mapBytes: address space; nil for what the file needs.
    /// - Throws: `.damaged` where it is no LMDB file, `.system` where it cannot be opened.
    init(_ path: String, _ kind: LMDBFileKind, mode: Mode, mapBytes: Int?) throws(AnnexError) {
        self.path = path
        self.kind = kind
        var created: OpaquePointer?
        let status = unsafe mdb_env_create(&created)
        guard status == 0, let environment = unsafe created else {
            throw LMDBFailure(status: status).error("cannot make an environment", path, kind)
        }
        // All members are set: where this throws, deinit closes.
        unsafe self.raw = environment
        do throws(LMDBFailure) { unsafe try Self.open(environment, path, mode, mapBytes) } catch {
            throw error.error("cannot open", path, kind)
        }
    }

    deinit { unsafe mdb_env_close(self.raw) }

    private static func open(
        _ environment: OpaquePointer,
        _ path: String,
        _ mode: Mode,
        _ mapBytes: Int?
    ) throws(LMDBFailure) {
        try LMDBFailure.check(unsafe mdb_env_set_maxdbs(environment, Self.tableLimit))
        if let mapBytes { try LMDBFailure.check(unsafe mdb_env_set_mapsize(environment, mapBytes)) }
        var flags = UInt32(MDB_NOSUBDIR) | UInt32(MDB_NOTLS)
        switch mode {
        case .readOnly: flags |= UInt32(MDB_RDONLY) | UInt32(MDB_NOLOCK)
        case .create: flags |= UInt32(MDB_NOLOCK)
        case .beside: flags |= UInt32(MDB_RDONLY)
        case .readWrite(let readers):
            try LMDBFailure.check(unsafe mdb_env_set_maxreaders(environment, UInt32(clamping: readers)))
        }
        try LMDBFailure.check(unsafe mdb_env_open(environment, path, flags, 0o644))
        // LMDB closes its other descriptors when a child starts, but not this one.
        var descriptor: Int32 = -1
        if unsafe mdb_env_get_fd(environment, &descriptor) == 0 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    }

    // MARK: Transactions

    func begin(readOnly: Bool) throws(LMDBFailure) -> LMDBTransaction {
        var begun: OpaquePointer?
        try LMDBFailure.check(unsafe mdb_txn_begin(self.raw, nil, readOnly ? UInt32(MDB_RDONLY) : 0, &begun))
        guard let transaction = unsafe begun else { throw LMDBFailure(status: MDB_PANIC) }
        return unsafe LMDBTransaction(self, takingOwnership: transaction)
    }

    /// Tells whether LMDB has given this environment up, reading included: so it does when its first page cannot be
    /// written.
    var hasPanicked: Bool {
        do throws(LMDBFailure) {
            _ = try self.begin(readOnly: true)
            return false
        } catch { return error.status == MDB_PANIC }
    }

    /// Frees the slots of readers that died. Returns how many.
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

    /// Writes a copy without free pages, as of now. The file must not exist. Blocks; writing goes on.
    func copy(to path: String) -> Int32 { unsafe mdb_env_copy2(self.raw, path, UInt32(MDB_CP_COMPACT)) }

    /// Flushes the file to the disk. Blocks.
    func sync() throws(LMDBFailure) { try LMDBFailure.check(unsafe mdb_env_sync(self.raw, 1)) }
}
