import AnnexCore
import CLMDB

/// How a transaction uses table `items`.
struct IndexRule {
    /// Whether it may be relied upon: otherwise it is kept up to date, and events are walked instead.
    var isWhole = false
    /// A user with more events than this has an entry for each.
    var walkLimit = StateSettings().walkLimit
}

/// One write transaction: changes are applied, then all are committed or none. Used by the thread that writes.
@safe final class StateTransaction {
    private let environment: StateEnvironment
    let raw: OpaquePointer
    private var isOpen = true
    var tally = StateTally()
    /// As it lies in the file.
    private var storedTally = StateTally()
    let tables: StateEnvironment.Tables
    /// Positions of the log, by block, as far as they were looked at; and the blocks whose position moved.
    var marks = [LogMark?](repeating: nil, count: Slot.blockCount)
    var movedBlocks: Set<Int> = []
    let index: IndexRule
    /// Whether entries of the index were looked at, which is no change of what the store holds.
    var hasMended = false
    /// Records that were walked, as there was no index to use.
    var walkedRecords = 0

    /// Begins. Blocks only where another writes, which the lock of the folder rules out.
    init(_ environment: StateEnvironment, index: IndexRule) throws(StoreFailure) {
        self.environment = environment
        self.index = index
        self.tables = environment.tables
        let raw = unsafe try environment.begin(readOnly: false)
        unsafe self.raw = raw
        // All members are set: where this throws, deinit aborts.
        let stored = unsafe try StateBytes.get(raw, environment.tables.meta, StateSchema.tallyKey) {
            unsafe StateTally($0)
        }
        guard let tally = stored ?? nil else { throw StoreFailure(status: MDB_CORRUPTED) }
        self.tally = tally
        self.storedTally = tally
    }

    deinit { self.abort() }

    func abort() {
        guard self.isOpen else { return }
        self.isOpen = false
        unsafe mdb_txn_abort(self.raw)
    }

    /// Makes all durable. Blocks for the disk. Ends the transaction, whatever comes of it.
    func commit() throws(StoreFailure) {
        guard self.isOpen else { throw StoreFailure(status: MDB_BAD_TXN) }
        if self.isChanged { try self.put(self.tables.meta, StateSchema.tallyKey, self.tally.value) }
        try self.putMarks()
        self.isOpen = false
        try StoreFailure.check(unsafe mdb_txn_commit(self.raw))
    }

    /// Whether there is anything to commit.
    var isChanged: Bool { self.tally != self.storedTally || !self.movedBlocks.isEmpty || self.hasMended }

    /// Entries of `events`.
    func countEvents() throws(StoreFailure) -> Int {
        var status = MDB_stat()
        try StoreFailure.check(unsafe mdb_stat(self.raw, self.tables.events, &status))
        return Int(clamping: status.ms_entries)
    }

    /// Keeps the highest stamp; writes nothing where it is the stored one.
    func keep(clock: Int64) throws(StoreFailure) {
        let stored = unsafe try StateBytes.get(self.raw, self.tables.meta, StateSchema.clockKey) {
            unsafe StateSchema.clock($0)
        }
        guard stored ?? nil != clock else { return }
        try self.put(self.tables.meta, StateSchema.clockKey, StateSchema.clockRow(clock))
    }

    // MARK: Records

    func hasEvents(_ user: Identifier) throws(StoreFailure) -> Bool {
        unsafe try StateBytes.get(self.raw, self.tables.events, user.bytes) { _ in true } ?? false
    }

    /// Copies of a key's values that begin with `prefix`. O(log values + found).
    func values(_ table: MDB_dbi, _ key: [UInt8], _ prefix: [UInt8]) throws(StoreFailure) -> [[UInt8]] {
        let cursor = unsafe try StateCursor(self.raw, table)
        var found: [[UInt8]] = []
        var isThere = try cursor.seek(key, from: prefix)
        while isThere, unsafe cursor.value.starts(with: prefix) {
            found.append(unsafe Array(cursor.value))
            isThere = try cursor.move(MDB_NEXT_DUP)
        }
        return found
    }

    func put(_ table: MDB_dbi, _ key: [UInt8], _ value: [UInt8]) throws(StoreFailure) {
        let status = unsafe StateBytes.lend(key) { key in
            unsafe StateBytes.lend(value) { value in unsafe mdb_put(self.raw, table, &key, &value, 0) }
        }
        try StoreFailure.check(status)
    }

    func delete(_ table: MDB_dbi, _ key: [UInt8], _ value: [UInt8]) throws(StoreFailure) {
        let status = unsafe StateBytes.lend(key) { key in
            unsafe StateBytes.lend(value) { value in unsafe mdb_del(self.raw, table, &key, &value) }
        }
        try StoreFailure.check(status)
    }

    func deleteIfThere(_ table: MDB_dbi, _ key: [UInt8], _ value: [UInt8]) throws(StoreFailure) {
        do throws(StoreFailure) { try self.delete(table, key, value) } catch {
            guard error.status == MDB_NOTFOUND else { throw error }
        }
    }

    /// All values of a key; false where there are none.
    func delete(_ table: MDB_dbi, _ key: [UInt8]) throws(StoreFailure) -> Bool {
        let status = unsafe StateBytes.lend(key) { key in unsafe mdb_del(self.raw, table, &key, nil) }
        if status == MDB_NOTFOUND { return false }
        try StoreFailure.check(status)
        return true
    }
}
