import AnnexCore
import CLMDB
import Glibc

/// Makes, reads, checks and opens the file.
enum StateFile {
    /// Holds the rows of table `meta`.
    struct Summary {
        let format: UInt32
        let storeID: [UInt8]
        let tally: StateTally
        /// Holds the highest stamp that was given out. It is nil before the first.
        let clock: Int64?
        let events: Int
        /// Each block's mark says how far the log is applied.
        let marks: [LogMark]
        let log: StateLog
    }

    static func open(_ folder: StateFolder, _ settings: StateSettings) throws(AnnexError) -> StateEnvironment {
        let size = try folder.fileSize()
        // A compaction that was killed leaves this file. Where it cannot be removed it only takes space.
        unsafe unlink(Self.temporary(folder))
        if size == nil { try Self.create(folder) } else { try Self.checkPages(folder, settings) }
        let mapBytes = max(settings.mapBytes, (size ?? 0) * 2)
        try Self.upgrade(folder, settings, mapBytes)
        let environment = try StateEnvironment(
            folder.file,
            in: folder,
            mode: .readWrite(readers: settings.readerLimit),
            mapBytes: mapBytes
        )
        environment.file.dropDeadReaders()
        return environment
    }

    /// Walks every page of a file that nobody writes, and compares what the store says of itself with it. O(pages).
    ///
    /// - Throws: `.damaged` where the file is no whole store.
    static func check(_ file: String) throws(AnnexError) {
        guard let size = try StateFolder.fileSize(file) else { return }
        let keys = try PageCheck.check(file, .state)
        let environment = try StateEnvironment(file, in: nil, mode: .readOnly, mapBytes: max(1 << 20, size))
        let users = try Self.summary(environment).tally.users
        guard users == UInt64(keys[StateSchema.events] ?? 0) else {
            throw AnnexError(
                .damaged,
                "the table `meta` counts \(users) users, and \(keys[StateSchema.events] ?? 0) have events",
                at: file,
                hint: LMDBFileKind.state.restore
            )
        }
    }

    private static func checkPages(_ folder: StateFolder, _ settings: StateSettings) throws(AnnexError) {
        switch settings.pageCheck {
        case .here: try Self.check(folder.file)
        case .done: break
        case .elsewhere(let check):
            do { try check(folder.path) } catch {
                throw error as? AnnexError
                    ?? AnnexError(.system, "the state could not be checked: \(error)", at: folder.file)
            }
        }
    }

    /// Makes a file of an older format one of today's, in one transaction: with an index of events that is empty still.
    private static func upgrade(
        _ folder: StateFolder,
        _ settings: StateSettings,
        _ mapBytes: Int
    ) throws(AnnexError) {
        // Its own environment, as its handles of tables are those of the older format.
        let environment = try StateEnvironment(
            folder.file,
            in: folder,
            mode: .readWrite(readers: settings.readerLimit),
            mapBytes: mapBytes
        )
        guard try Self.summary(environment).format < StateSchema.format else { return }
        do throws(LMDBFailure) {
            let transaction = try StateTransaction(environment, index: IndexRule())
            try transaction.makeIndex()
            try transaction.lmdb.put(environment.tables.meta, StateSchema.formatKey, Self.formatRow)
            try transaction.commit()
        } catch {
            throw error.error("cannot be brought to format \(StateSchema.format)", folder.file, .state)
        }
    }

    static var formatRow: [UInt8] {
        var row: [UInt8] = []
        StateSchema.append(StateSchema.format, to: &row)
        StateSchema.seal(&row, key: StateSchema.formatKey)
        return row
    }

    /// Writes an empty store under a temporary name and gives it its own, so that a file without tables is never taken
    /// for a new one.
    private static func create(_ folder: StateFolder) throws(AnnexError) {
        let path = Self.temporary(folder)
        guard unsafe unlink(path) == 0 || errno == ENOENT else {
            throw StateFolder.failure("cannot be removed", at: path)
        }
        try Self.fill(path, folder)
        guard unsafe rename(path, folder.file) == 0 else { throw StateFolder.failure("cannot be renamed", at: path) }
        try StateFolder.flush(folder.path)
    }

    /// Returns the path of the file that is made before it is renamed to the state.
    static func temporary(_ folder: StateFolder) -> String { folder.path + "/.tmp-state.lmdb" }

    private static func fill(_ path: String, _ folder: StateFolder) throws(AnnexError) {
        let environment = try StateEnvironment(path, in: folder, mode: .create, mapBytes: 1 << 20)
        var random = SystemRandomNumberGenerator()
        var store = (0..<StateSchema.storeIDBytes).map { _ in UInt8.random(in: 0...255, using: &random) }
        StateSchema.seal(&store, key: StateSchema.storeKey)
        do throws(LMDBFailure) {
            let transaction = try environment.file.begin(readOnly: false)
            let rows = [
                (StateSchema.formatKey, Self.formatRow), (StateSchema.storeKey, store),
                (StateSchema.tallyKey, StateTally().value),
            ]
            for row in rows { try transaction.put(environment.tables.meta, row.0, row.1) }
            try transaction.commit()
        } catch { throw error.error("cannot be made", path, .state) }
    }

    /// Reads table `meta`.
    ///
    /// - Throws: `.damaged` where it is, or where the format is another.
    static func summary(_ environment: StateEnvironment) throws(AnnexError) -> Summary {
        do throws(LMDBFailure) {
            let transaction = try environment.file.begin(readOnly: true)
            func row(_ key: [UInt8], _ bytes: Int) throws(LMDBFailure) -> [UInt8] {
                let found = unsafe try transaction.get(environment.tables.meta, key) { value in
                    unsafe key.withUnsafeBytes { unsafe StateSchema.unseal(value, key: $0).map { unsafe Array($0) } }
                }
                guard let content = found ?? nil, content.count == bytes else {
                    throw LMDBFailure(status: MDB_CORRUPTED)
                }
                return content
            }
            let digits = try row(StateSchema.formatKey, 4)
            let format = digits.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            guard (StateSchema.oldestFormat...StateSchema.format).contains(format),
                (environment.tables.items == nil) == (format == 1)
            else { throw LMDBFailure(status: MDB_VERSION_MISMATCH) }
            let storeID = try row(StateSchema.storeKey, StateSchema.storeIDBytes)
            let tally = unsafe try transaction.get(environment.tables.meta, StateSchema.tallyKey) {
                unsafe StateTally($0)
            }
            guard let tally = tally ?? nil else { throw LMDBFailure(status: MDB_CORRUPTED) }
            var marks: [LogMark] = []
            for key in StateSchema.logKeys {
                let stored = unsafe try transaction.get(environment.tables.meta, key) {
                    unsafe LogMark($0, key: key)
                }
                guard let mark = stored ?? .some(.start) else { throw LMDBFailure(status: MDB_CORRUPTED) }
                marks.append(mark)
            }
            let log = try StateLog(transaction, environment.tables)
            let clock = unsafe try transaction.get(environment.tables.meta, StateSchema.clockKey) {
                unsafe StateSchema.clock($0)
            }
            if case .some(.none) = clock { throw LMDBFailure(status: MDB_CORRUPTED) }
            return Summary(
                format: format,
                storeID: storeID,
                tally: tally,
                clock: clock ?? nil,
                events: try transaction.count(environment.tables.events),
                marks: marks,
                log: log
            )
        } catch {
            throw error.error("cannot read the table `meta`", environment.path, .state)
        }
    }
}
