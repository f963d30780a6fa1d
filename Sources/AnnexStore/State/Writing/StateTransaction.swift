import AnnexCore
import CLMDB

/// Says how a transaction uses table `items`.
struct IndexRule {
    /// Tells whether it may be relied upon: otherwise it is kept up to date, and events are walked instead.
    var isWhole = false
    /// A user with more events than this has an entry for each.
    var walkLimit = StateSettings().walkLimit
}

/// Holds one write transaction: changes are applied, then all are committed or none. The thread that writes uses it.
final class StateTransaction {
    private let environment: StateEnvironment
    let lmdb: LMDBTransaction
    var tally = StateTally()
    /// Holds the tally that lies in the file.
    private var storedTally = StateTally()
    let tables: StateEnvironment.Tables
    /// Holds positions of the log, by block, as far as they were looked at, and the blocks whose position moved.
    var marks = [LogMark?](repeating: nil, count: Slot.blockCount)
    var movedBlocks: Set<Int> = []
    let index: IndexRule
    /// Tells whether entries of the index were looked at, which is no change of what the store holds.
    var hasRepaired = false
    /// Tells whether something else changed that is to be committed.
    var hasNews = false
    /// Counts records that were walked, as there was no index to use.
    var walkedRecords = 0

    /// Begins. Blocks only where another writes, which the lock of the folder rules out.
    init(_ environment: StateEnvironment, index: IndexRule) throws(LMDBFailure) {
        self.environment = environment
        self.index = index
        self.tables = environment.tables
        self.lmdb = try environment.file.begin(readOnly: false)
        let stored = unsafe try self.lmdb.get(environment.tables.meta, StateSchema.tallyKey) { unsafe StateTally($0) }
        guard let tally = stored ?? nil else { throw LMDBFailure(status: MDB_CORRUPTED) }
        self.tally = tally
        self.storedTally = tally
    }

    func abort() { self.lmdb.abort() }

    /// Makes all durable. Blocks for the disk. Ends the transaction, whatever comes of it.
    func commit() throws(LMDBFailure) {
        if self.isChanged { try self.lmdb.put(self.tables.meta, StateSchema.tallyKey, self.tally.value) }
        try self.putMarks()
        try self.lmdb.commit()
    }

    /// Tells whether there is anything to commit.
    var isChanged: Bool {
        self.tally != self.storedTally || !self.movedBlocks.isEmpty || self.hasRepaired || self.hasNews
    }

    /// Returns the number of entries of `events`.
    func countEvents() throws(LMDBFailure) -> Int { try self.lmdb.count(self.tables.events) }

    /// Keeps the highest stamp; writes nothing where it is the stored one.
    func keep(clock: Int64) throws(LMDBFailure) {
        let stored = unsafe try self.lmdb.get(self.tables.meta, StateSchema.clockKey) {
            unsafe StateSchema.clock($0)
        }
        guard stored ?? nil != clock else { return }
        try self.lmdb.put(self.tables.meta, StateSchema.clockKey, StateSchema.clockRow(clock))
    }

    // MARK: Records

    func hasEvents(_ user: Identifier) throws(LMDBFailure) -> Bool {
        try self.lmdb.has(self.tables.events, user.bytes)
    }

    /// Copies of a key's values that begin with `prefix`. O(log values + found).
    func values(_ table: MDB_dbi, _ key: [UInt8], _ prefix: [UInt8]) throws(LMDBFailure) -> [[UInt8]] {
        let cursor = try LMDBCursor(self.lmdb, table)
        var found: [[UInt8]] = []
        var isThere = try cursor.seek(key, from: prefix)
        while isThere, unsafe cursor.value.starts(with: prefix) {
            found.append(unsafe Array(cursor.value))
            isThere = try cursor.move(MDB_NEXT_DUP)
        }
        return found
    }
}
