package import AnnexCore
import CLMDB
import Foundation

/// Counts of everything in a store, all of which was read.
package struct StateInspection: Sendable, Equatable {
    package var format = 0
    package var storeID: [UInt8] = []
    package var events = 0
    /// Counts users with at least one event, damaged ones too.
    package var users = 0
    package var tombstones = 0
    package var forgotten = 0
    /// Counts records with a wrong checksum, which readers will skip.
    package var damagedRecords = 0
    package var fileBytes = 0
    /// Each block's mark says how far the log is applied.
    package var marks: [LogMark] = []
    package var log = StateLog()
}

extension StateStore {
    /// Reads every page and record of a store that nobody has open, and changes nothing. O(bytes). Blocks.
    ///
    /// Pages are walked before anything is mapped, so that a file that was cut or whose pages lead astray is refused.
    /// Still, LMDB ends the process on some damage that this does not see: call it in a process of its own before a
    /// server opens the file.
    ///
    /// - Throws: `.damaged` where the file is no whole store; `.busy` where somebody has it open; `.notFound` where
    ///   there is none. Damaged records are counted, not thrown.
    package static func inspect(_ folder: String) throws(AnnexError) -> StateInspection {
        let lock = try StateFolder(folder, create: false)
        guard let size = try lock.fileSize() else {
            throw StateFolder.noState(lock.file)
        }
        try PageCheck.check(lock.file, .state)
        let environment = try StateEnvironment(
            lock.file,
            in: lock,
            mode: .readOnly,
            mapBytes: max(1 << 20, size)
        )
        var walk = StateWalk(environment)
        try walk.run()
        walk.inspection.fileBytes = size
        return walk.inspection
    }
}

/// Reads all tables of a file that does not change.
private struct StateWalk {
    private let environment: StateEnvironment
    var inspection = StateInspection()

    init(_ environment: StateEnvironment) { self.environment = environment }

    mutating func run() throws(AnnexError) {
        let summary = try StateFile.summary(self.environment)
        self.inspection.format = Int(summary.format)
        self.inspection.storeID = summary.storeID
        self.inspection.marks = summary.marks
        self.inspection.log = summary.log
        do throws(LMDBFailure) {
            let transaction = try self.environment.file.begin(readOnly: true)
            try self.readRecords(transaction)
            let users = try self.readUsers(transaction)
            guard UInt64(users) == summary.tally.users else { throw LMDBFailure(status: MDB_CORRUPTED) }
        } catch { throw error.error("cannot read every record", self.environment.path, .state) }
    }

    private mutating func readRecords(_ transaction: LMDBTransaction) throws(LMDBFailure) {
        let tables = self.environment.tables
        self.inspection.events = unsafe try self.forEach(transaction, tables.events) { key, value in
            guard unsafe Identifier.isValid(key), let record = unsafe EventRecord(value, user: key) else {
                return false
            }
            return unsafe Identifier.isValid(record.item)
        }
        self.inspection.tombstones = unsafe try self.forEach(transaction, tables.removed) { key, value in
            guard unsafe Identifier.isValid(key), let record = unsafe TombstoneRecord(value, user: key) else {
                return false
            }
            return unsafe Identifier.isValid(record.item)
        }
        self.inspection.forgotten = unsafe try self.forEach(transaction, tables.forgotten) { key, value in
            unsafe key.count == StateSchema.hashBytes && ForgottenRecord.time(value, hash: key) != nil
        }
        _ = unsafe try self.forEach(transaction, tables.users) { key, value in
            unsafe Identifier.isValid(key) && StateMark(value, user: key) != nil
        }
    }

    /// Counts the keys of `events`, each of which has as many records as LMDB says it has.
    private mutating func readUsers(_ transaction: LMDBTransaction) throws(LMDBFailure) -> Int {
        let cursor = try LMDBCursor(transaction, self.environment.tables.events)
        var users = 0
        var events = 0
        var isThere = try cursor.move(MDB_FIRST)
        while isThere {
            users += 1
            events += try cursor.countDuplicates()
            isThere = try cursor.move(MDB_NEXT_NODUP)
        }
        guard events == self.inspection.events else { throw LMDBFailure(status: MDB_CORRUPTED) }
        self.inspection.users = users
        return users
    }

    /// Counts a table's records, of which those that `isWhole` does not hold for are damaged.
    ///
    /// - Throws: MDB_CORRUPTED where they are out of order, or where looking one up does not find it.
    private mutating func forEach(
        _ transaction: LMDBTransaction,
        _ table: MDB_dbi,
        _ isWhole: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool
    ) throws(LMDBFailure) -> Int {
        let cursor = try LMDBCursor(transaction, table)
        let probe = try LMDBCursor(transaction, table)
        let isSorted = table == self.environment.tables.events || table == self.environment.tables.removed
        var count = 0
        var lastKey: [UInt8] = []
        var lastValue: [UInt8] = []
        var isThere = try cursor.move(MDB_FIRST)
        while isThere {
            let (key, value) = unsafe (cursor.key, cursor.value)
            let isInOrder =
                unsafe lastKey.lexicographicallyPrecedes(key)
                || (lastKey.elementsEqual(key) && lastValue.lexicographicallyPrecedes(value))
            guard isInOrder else { throw LMDBFailure(status: MDB_CORRUPTED) }
            if unsafe !isWhole(key, value) { self.inspection.damagedRecords += 1 }
            count += 1
            unsafe lastKey.replaceSubrange(0..., with: key)
            unsafe lastValue.replaceSubrange(0..., with: value)
            let isFound = try isSorted ? probe.seek(lastKey, from: lastValue) : probe.seek(lastKey)
            guard unsafe isFound && probe.value.elementsEqual(lastValue) else {
                throw LMDBFailure(status: MDB_CORRUPTED)
            }
            isThere = try cursor.move(MDB_NEXT)
        }
        return count
    }
}
