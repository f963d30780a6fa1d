import AnnexCore
import CLMDB
import Glibc

/// The file, from its making to its opening.
enum StateFile {
    /// What a file says of itself.
    struct Summary {
        let storeID: [UInt8]
        let tally: StateTally
        let events: Int
        /// How far the log is applied, by block.
        let marks: [LogMark]
    }

    static func open(_ folder: StateFolder, _ settings: StateSettings) throws(AnnexError) -> StateEnvironment {
        let size = try folder.fileSize()
        if size == nil { try Self.create(folder) }
        if settings.checksPages { try PageCheck.check(folder.file, state: true) }
        let environment = try StateEnvironment(
            folder.file,
            in: folder,
            mode: .readWrite(readers: settings.readerLimit),
            mapBytes: max(settings.mapBytes, (size ?? 0) * 2)
        )
        environment.dropDeadReaders()
        return environment
    }

    /// Writes an empty store under a temporary name and gives it its own, so that a file without tables is never taken
    /// for a new one.
    private static func create(_ folder: StateFolder) throws(AnnexError) {
        let path = folder.path + "/.tmp-state.lmdb"
        guard unsafe unlink(path) == 0 || errno == ENOENT else {
            throw StateFolder.failure("cannot be removed", at: path)
        }
        try Self.fill(path, folder)
        guard unsafe rename(path, folder.file) == 0 else { throw StateFolder.failure("cannot be renamed", at: path) }
        try StateFolder.flush(folder.path)
    }

    private static func fill(_ path: String, _ folder: StateFolder) throws(AnnexError) {
        let environment = try StateEnvironment(path, in: folder, mode: .create, mapBytes: 1 << 20)
        var format: [UInt8] = []
        StateSchema.append(StateSchema.format, to: &format)
        StateSchema.seal(&format, key: StateSchema.formatKey)
        var random = SystemRandomNumberGenerator()
        var store = (0..<StateSchema.storeIDBytes).map { _ in UInt8.random(in: 0...255, using: &random) }
        StateSchema.seal(&store, key: StateSchema.storeKey)
        do throws(StoreFailure) {
            let transaction = unsafe try environment.begin(readOnly: false)
            let rows = [
                (StateSchema.formatKey, format), (StateSchema.storeKey, store),
                (StateSchema.tallyKey, StateTally().value),
            ]
            for row in rows {
                let status = unsafe StateBytes.lend(row.0) { key in
                    unsafe StateBytes.lend(row.1) { value in
                        unsafe mdb_put(transaction, environment.tables.meta, &key, &value, 0)
                    }
                }
                guard status == 0 else {
                    unsafe mdb_txn_abort(transaction)
                    throw StoreFailure(status: status)
                }
            }
            try StoreFailure.check(unsafe mdb_txn_commit(transaction))
        } catch { throw StateFailure.error(error.status, "cannot be made", path) }
    }

    /// Reads table `meta`.
    ///
    /// - Throws: `.damaged` where it is, or where the format is another.
    static func summary(_ environment: StateEnvironment) throws(AnnexError) -> Summary {
        do throws(StoreFailure) {
            let transaction = unsafe try environment.begin(readOnly: true)
            defer { unsafe mdb_txn_abort(transaction) }
            func row(_ key: [UInt8], _ bytes: Int) throws(StoreFailure) -> [UInt8] {
                let found = unsafe try StateBytes.get(transaction, environment.tables.meta, key) { value in
                    unsafe key.withUnsafeBytes { unsafe StateSchema.unseal(value, key: $0).map { unsafe Array($0) } }
                }
                guard let content = found ?? nil, content.count == bytes else {
                    throw StoreFailure(status: MDB_CORRUPTED)
                }
                return content
            }
            let format = try row(StateSchema.formatKey, 4)
            guard format == [UInt8(StateSchema.format), 0, 0, 0] else {
                throw StoreFailure(status: MDB_VERSION_MISMATCH)
            }
            let storeID = try row(StateSchema.storeKey, StateSchema.storeIDBytes)
            let tally = unsafe try StateBytes.get(transaction, environment.tables.meta, StateSchema.tallyKey) {
                unsafe StateTally($0)
            }
            guard let tally = tally ?? nil else { throw StoreFailure(status: MDB_CORRUPTED) }
            var status = MDB_stat()
            try StoreFailure.check(unsafe mdb_stat(transaction, environment.tables.events, &status))
            var marks: [LogMark] = []
            for key in StateSchema.logKeys {
                let stored = unsafe try StateBytes.get(transaction, environment.tables.meta, key) {
                    unsafe LogMark($0, key: key)
                }
                guard let mark = stored ?? .some(.start) else { throw StoreFailure(status: MDB_CORRUPTED) }
                marks.append(mark)
            }
            return Summary(storeID: storeID, tally: tally, events: Int(clamping: status.ms_entries), marks: marks)
        } catch {
            throw StateFailure.error(error.status, "cannot read what the store says of itself", environment.path)
        }
    }
}
