package import AnnexCore
import CLMDB
import Glibc

/// Says what a compaction left out and what it kept.
package struct StateCompaction: Sendable, Equatable {
    package var eventsBefore = 0
    package var eventsAfter = 0
    package var usersBefore = 0
    package var usersAfter = 0
    package var bytesBefore = 0
    package var bytesAfter = 0
    /// Counts events that are gone as another of the same user with the same item stands for them.
    package var folded = 0
    /// Counts events that are gone as trained histories have their items.
    package var pruned = 0
    /// Counts records with a wrong checksum, taken over as they are.
    package var damagedRecords = 0

    /// Tells whether every trained history that counts has an item of a user's.
    package typealias Trained = (_ user: Span<UInt8>, _ item: Span<UInt8>) throws(AnnexError) -> Bool
}

extension StateStore {
    /// Writes a state anew that nobody has open: of the events at or before `until` one of each user and item stays, with the time of
    /// the newest and the sum of the weights, or none where `trained` says that histories have it. Later events, tombstones, users
    /// who were forgotten, positions in the log and stamps stay as they are. docs/state.md tells what changes by it.
    ///
    /// The new file takes the place of the old one in one step, when all of it is on the disk. O(bytes); blocks; needs space for
    /// both.
    ///
    /// - Throws: `.busy` where a server has the state, `.notFound` where there is none, `.damaged` where its pages are.
    package static func compact(
        _ folder: String,
        until: Int64,
        trained: StateCompaction.Trained = { _, _ in false }
    ) throws(AnnexError) -> StateCompaction {
        let lock = try StateFolder(folder, create: false)
        guard let size = try lock.fileSize() else { throw StateFolder.noState(lock.file) }
        try StateFile.check(lock.file)
        let path = StateFile.temporary(lock)
        guard unsafe unlink(path) == 0 || errno == ENOENT else {
            throw StateFolder.failure("cannot be removed", at: path)
        }
        do throws(AnnexError) {
            var report = try Self.write(lock, until, trained, to: path, size: size)
            try StateFile.check(path)
            try StateFolder.flush(path)
            report.bytesBefore = size
            report.bytesAfter = try StateFolder.fileSize(path) ?? 0
            guard unsafe rename(path, lock.file) == 0 else { throw StateFolder.failure("cannot be renamed", at: path) }
            try StateFolder.flush(folder)
            return report
        } catch {
            unsafe unlink(path)
            throw error
        }
    }

    private static func write(
        _ lock: StateFolder,
        _ until: Int64,
        _ trained: StateCompaction.Trained,
        to path: String,
        size: Int
    ) throws(AnnexError) -> StateCompaction {
        let old = try StateEnvironment(lock.file, in: lock, mode: .readOnly, mapBytes: max(1 << 20, size))
        _ = try StateFile.summary(old)
        // Folding makes no record longer, so that twice the size is more than enough, whatever pages are filled to.
        let (twice, isOver) = size.multipliedReportingOverflow(by: 2)
        let mapBytes = max(16 << 20, isOver ? size : twice)
        let new = try StateEnvironment(path, in: lock, mode: .create, mapBytes: mapBytes)
        let writer: CompactionWriter
        do throws(LMDBFailure) { writer = try CompactionWriter(old, new, until: until) } catch {
            throw error.error("cannot be read", lock.file, .state)
        }
        return try writer.run(trained, path)
    }
}

/// Carries out one compaction. One thread uses it.
private final class CompactionWriter {
    /// Records of one transaction, whose pages lie in memory until it is committed.
    private static let recordsPerCommit = 200_000

    private let old: StateEnvironment
    private let new: StateEnvironment
    private let until: Int64
    private let source: LMDBTransaction
    private var target: LMDBTransaction
    private var written = 0
    private var report = StateCompaction()
    private let walkLimit = StateSettings().walkLimit

    init(_ old: StateEnvironment, _ new: StateEnvironment, until: Int64) throws(LMDBFailure) {
        self.old = old
        self.new = new
        self.until = until
        self.source = try old.file.begin(readOnly: true)
        self.target = try new.file.begin(readOnly: false)
    }

    func run(_ trained: StateCompaction.Trained, _ path: String) throws(AnnexError) -> StateCompaction {
        try self.writing(path) { () throws(LMDBFailure) in
            try self.copy(self.old.tables.removed, self.new.tables.removed)
            try self.copy(self.old.tables.forgotten, self.new.tables.forgotten)
            try self.copy(self.old.tables.meta, self.new.tables.meta)
            try self.target.put(self.new.tables.meta, StateSchema.formatKey, StateFile.formatRow)
            self.report.eventsBefore = try self.source.count(self.old.tables.events)
        }
        var last: [UInt8]?
        while let user = try self.writing(path, { () throws(LMDBFailure) in try self.user(after: last) }) {
            let (kept, hadTombstones) = try self.fold(user, trained, path)
            try self.writing(path) { () throws(LMDBFailure) in try self.put(user, kept, hadTombstones) }
            last = user
        }
        try self.writing(path) { () throws(LMDBFailure) in
            try self.copyMarksWithoutEvents()
            try self.finish()
        }
        return self.report
    }

    private func writing<R>(_ path: String, _ body: () throws(LMDBFailure) -> R) throws(AnnexError) -> R {
        do throws(LMDBFailure) { return try body() } catch { throw error.error("cannot be written", path, .state) }
    }

    // MARK: Tables

    private func put(_ table: MDB_dbi, _ key: [UInt8], _ value: [UInt8]) throws(LMDBFailure) {
        try self.target.put(table, key, value)
        self.written += 1
        guard self.written % Self.recordsPerCommit == 0 else { return }
        try self.target.commit()
        self.target = try self.new.file.begin(readOnly: false)
    }

    private func copy(_ from: MDB_dbi, _ to: MDB_dbi) throws(LMDBFailure) {
        let cursor = try LMDBCursor(self.source, from)
        var isThere = try cursor.move(MDB_FIRST)
        while isThere {
            try self.put(to, unsafe Array(cursor.key), unsafe Array(cursor.value))
            isThere = try cursor.move(MDB_NEXT)
        }
    }

    private func finish() throws(LMDBFailure) {
        let stored = unsafe try self.source.get(self.old.tables.meta, StateSchema.tallyKey) { unsafe StateTally($0) }
        guard var tally = stored ?? nil else { throw LMDBFailure(status: MDB_CORRUPTED) }
        tally.users = UInt64(self.report.usersAfter)
        try self.target.put(self.new.tables.meta, StateSchema.tallyKey, tally.value)
        self.report.eventsAfter = try self.target.count(self.new.tables.events)
        try self.target.commit()
    }

    // MARK: Users

    /// Returns the next user with events.
    private func user(after last: [UInt8]?) throws(LMDBFailure) -> [UInt8]? {
        let cursor = try LMDBCursor(self.source, self.old.tables.events)
        return try cursor.moveBehind(last) ? unsafe Array(cursor.key) : nil
    }

    /// Returns the values of a user in a table of sorted values.
    private func values(_ table: MDB_dbi, of user: [UInt8]) throws(LMDBFailure) -> [[UInt8]] {
        let cursor = try LMDBCursor(self.source, table)
        var found: [[UInt8]] = []
        var isThere = try cursor.seek(user)
        while isThere {
            found.append(unsafe Array(cursor.value))
            isThere = try cursor.move(MDB_NEXT_DUP)
        }
        return found
    }

    /// Adds up the events of one item at or before the time.
    private struct Sum {
        var weight: Double
        var newest: Int64
        /// Holds all of them, so that they can stay as they are.
        var records: [[UInt8]]
    }

    /// Returns the records of a user that stay, and whether the user has tombstones.
    private func fold(
        _ user: [UInt8],
        _ trained: StateCompaction.Trained,
        _ path: String
    ) throws(AnnexError) -> (kept: [[UInt8]], hasTombstones: Bool) {
        let (records, tombstones) = try self.writing(path) { () throws(LMDBFailure) in
            (try self.values(self.old.tables.events, of: user), try self.values(self.old.tables.removed, of: user))
        }
        var kept: [[UInt8]] = []
        var sums: [[UInt8]: Sum] = [:]
        for record in records where !self.take(record, of: user, into: &sums) { kept.append(record) }
        let removed = Set(tombstones.compactMap { Self.item(ofTombstone: $0, user) })
        // A damaged tombstone may be of any item: then each event may be what lifts it.
        let areWhole = removed.count == tombstones.count
        for (item, sum) in sums {
            let mayGo = areWhole && !removed.contains(item)
            let isHeld = mayGo ? try trained(user.span, item.span) : false
            if isHeld { self.report.pruned += sum.records.count } else { kept += self.folded(sum, user, item) }
        }
        // They are put in the order of the table, so that its pages get full.
        kept.sort { $0.lexicographicallyPrecedes($1) }
        return (kept, !tombstones.isEmpty)
    }

    /// Returns false where the record stays as it is.
    private func take(_ record: [UInt8], of user: [UInt8], into sums: inout [[UInt8]: Sum]) -> Bool {
        let known: (item: [UInt8], weight: Double, time: Int64)? = unsafe record.withUnsafeBytes { record in
            unsafe user.withUnsafeBytes { user in
                unsafe EventRecord(record, user: user).map { unsafe (Array($0.item), $0.weight, $0.time) }
            }
        }
        guard let known else {
            self.report.damagedRecords += 1
            return false
        }
        guard known.time <= self.until else { return false }
        guard var sum = sums[known.item] else {
            sums[known.item] = Sum(weight: known.weight, newest: known.time, records: [record])
            return true
        }
        // Weights are added up in the order of time, as reading does: the sum is the same to the last bit.
        sum.weight += known.weight
        sum.newest = known.time
        sum.records.append(record)
        sums[known.item] = sum
        return true
    }

    private func folded(_ sum: Sum, _ user: [UInt8], _ item: [UInt8]) -> [[UInt8]] {
        guard sum.records.count > 1, sum.weight.isFinite, let owner = Identifier(user), let name = Identifier(item)
        else {
            return sum.records
        }
        self.report.folded += sum.records.count - 1
        return [EventRecord.value(StateSchema.eventPrefix(name, sum.newest), user: owner, weight: sum.weight)]
    }

    private static func item(ofTombstone record: [UInt8], _ user: [UInt8]) -> [UInt8]? {
        unsafe record.withUnsafeBytes { record in
            unsafe user.withUnsafeBytes { user in
                unsafe TombstoneRecord(record, user: user).map { unsafe Array($0.item) }
            }
        }
    }

    private func put(_ user: [UInt8], _ kept: [[UInt8]], _ hasTombstones: Bool) throws(LMDBFailure) {
        self.report.usersBefore += 1
        self.report.usersAfter += kept.isEmpty ? 0 : 1
        for record in kept { try self.put(self.new.tables.events, user, record) }
        if kept.count > self.walkLimit, let items = self.new.tables.items {
            let entries = kept.compactMap { unsafe $0.withUnsafeBytes { unsafe StateSchema.indexEntry(of: $0) } }
            for entry in entries.sorted(by: { $0.lexicographicallyPrecedes($1) }) { try self.put(items, user, entry) }
        }
        // Nothing of the user is left to mark.
        if kept.isEmpty, !hasTombstones { return }
        let newest = kept.compactMap { record in
            unsafe record.withUnsafeBytes { record in
                unsafe user.withUnsafeBytes { unsafe EventRecord(record, user: $0)?.time }
            }
        }.max()
        try self.putMark(user, count: kept.count, newest: newest ?? (kept.isEmpty ? nil : Int64.min))
    }

    /// Puts the user's mark with the counters that it has: what a version made of the user stays right.
    private func putMark(_ user: [UInt8], count: Int, newest: Int64?) throws(LMDBFailure) {
        let stored = unsafe try self.source.get(self.old.tables.users, user) { unsafe Array($0) }
        guard let stored else { return }
        let mark = unsafe stored.withUnsafeBytes { value in
            unsafe user.withUnsafeBytes { unsafe StateMark(value, user: $0) }
        }
        guard let mark, let owner = Identifier(user) else {
            // The mark is damaged: whoever reads it makes one in its place.
            return try self.put(self.new.tables.users, user, stored)
        }
        let fresh = StateMark(counter: mark.counter, rewritten: mark.rewritten, eventCount: count, newest: newest)
        try self.put(self.new.tables.users, user, fresh.value(user: owner))
    }

    /// Copies the marks of users who had no events before.
    private func copyMarksWithoutEvents() throws(LMDBFailure) {
        let cursor = try LMDBCursor(self.source, self.old.tables.users)
        var isThere = try cursor.move(MDB_FIRST)
        while isThere {
            let user = unsafe Array(cursor.key)
            if try !self.source.has(self.old.tables.events, user) {
                try self.put(self.new.tables.users, user, unsafe Array(cursor.value))
            }
            isThere = try cursor.move(MDB_NEXT)
        }
    }
}
