import AnnexCore
import CLMDB

/// One write transaction: changes are applied, then all are committed or none. Used by the thread that writes.
@safe final class StateTransaction {
    private let environment: StateEnvironment
    let raw: OpaquePointer
    private var isOpen = true
    private(set) var tally = StateTally()
    /// As it lies in the file.
    private var storedTally = StateTally()
    let tables: StateEnvironment.Tables
    /// Positions of the log, by block, as far as they were looked at; and the blocks whose position moved.
    var marks = [LogMark?](repeating: nil, count: Slot.blockCount)
    var movedBlocks: Set<Int> = []

    /// Begins. Blocks only where another writes, which the lock of the folder rules out.
    init(_ environment: StateEnvironment) throws(StoreFailure) {
        self.environment = environment
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
    var isChanged: Bool { self.tally != self.storedTally || !self.movedBlocks.isEmpty }

    /// Entries of `events`.
    func countEvents() throws(StoreFailure) -> Int {
        var status = MDB_stat()
        try StoreFailure.check(unsafe mdb_stat(self.raw, self.tables.events, &status))
        return Int(clamping: status.ms_entries)
    }

    // MARK: Changes

    /// After a throw the transaction may only be aborted.
    func apply(_ change: StateChange) throws(StoreFailure) -> StateOutcome {
        switch change {
        case .event(let user, let item, let weight, let time):
            try self.applyEvent(user, item, weight, time)
        case .stampedEvent(let user, let item, let weight, let time):
            try self.applyEvent(user, item, weight, self.freeTime(user, item, from: time))
        case .remove(let user, let item, let time):
            try self.applyRemoval(user, item, time)
        case .forget(let user, let hash, let time):
            try self.applyForgetting(user, hash, time)
        }
    }

    /// O(log events).
    private func applyEvent(
        _ user: Identifier,
        _ item: Identifier,
        _ weight: Double,
        _ time: Int64
    ) throws(StoreFailure) -> StateOutcome {
        let prefix = StateSchema.eventPrefix(item, time)
        let value = EventRecord.value(prefix, user: user, weight: weight)
        let old = try self.values(self.tables.events, user.bytes, prefix)
        if old.count == 1, old[0] == value { return .unchanged }
        let hadEvents = try self.hasEvents(user)
        let before = try self.storedMark(user)
        for record in old { try self.delete(self.tables.events, user.bytes, record) }
        try self.put(self.tables.events, user.bytes, value)
        let isLatest = before.map { $0.newest.map { $0 < time } ?? true } ?? !hadEvents
        try self.mark(user, hadEvents: hadEvents, appendedTo: isLatest ? before : nil)
        return old.isEmpty ? .added : .replaced
    }

    private func storedMark(_ user: Identifier) throws(StoreFailure) -> StateMark? {
        let mark = unsafe try StateBytes.get(self.raw, self.tables.users, user.bytes) { value in
            unsafe user.bytes.withUnsafeBytes { unsafe StateMark(value, user: $0) }
        }
        return mark ?? nil
    }

    /// How far a stamp may run ahead of the clock, to come behind the user's newest event.
    private static let stampLeadMillis: Int64 = 10_000

    /// The first time from `time` on at which the user has no event with the item, and where the user's newest event is not
    /// far ahead, behind that: events that come together then stay in the order in which they came. O(log events × times
    /// taken).
    private func freeTime(_ user: Identifier, _ item: Identifier, from time: Int64) throws(StoreFailure) -> Int64 {
        let newest = try self.storedMark(user)?.newest ?? Int64.min
        let (lead, isOver) = newest.subtractingReportingOverflow(time)
        if newest >= time, !isOver, lead < Self.stampLeadMillis, newest < Int64.max { return newest + 1 }
        var free = time
        while free < Int64.max {
            let taken = try self.values(self.tables.events, user.bytes, StateSchema.eventPrefix(item, free))
            if taken.isEmpty { return free }
            free += 1
        }
        return free
    }

    /// O(events of the user). A tombstone that is there stays where its time is later.
    private func applyRemoval(
        _ user: Identifier,
        _ item: Identifier,
        _ time: Int64
    ) throws(StoreFailure) -> StateOutcome {
        let events = try self.events(of: user, with: item)
        let prefix = StateSchema.tombstonePrefix(item)
        let old = try self.values(self.tables.removed, user.bytes, prefix)
        let latest = old.compactMap { record in
            unsafe record.withUnsafeBytes { record in
                unsafe user.bytes.withUnsafeBytes { unsafe TombstoneRecord(record, user: $0)?.time }
            }
        }.max()
        let value = TombstoneRecord.value(prefix, user: user, time: max(time, latest ?? time))
        if events.isEmpty, old.count == 1, old[0] == value { return .removed(wasThere: false) }
        let hadEvents = try self.hasEvents(user)
        for record in events { try self.delete(self.tables.events, user.bytes, record) }
        for record in old { try self.delete(self.tables.removed, user.bytes, record) }
        try self.put(self.tables.removed, user.bytes, value)
        try self.mark(user, hadEvents: hadEvents)
        return .removed(wasThere: !events.isEmpty)
    }

    /// O(pages of the user). A tombstone that is there stays where its time is later.
    private func applyForgetting(
        _ user: Identifier,
        _ hash: [UInt8],
        _ time: Int64
    ) throws(StoreFailure) -> StateOutcome {
        let stored = unsafe try StateBytes.get(self.raw, self.tables.forgotten, hash) { value in
            unsafe hash.withUnsafeBytes { unsafe ForgottenRecord.time(value, hash: $0) }
        }
        let latest = (stored ?? nil) ?? time
        let hadEvents = try self.hasEvents(user)
        let deletedEvents = try self.delete(self.tables.events, user.bytes)
        let deletedTombstones = try self.delete(self.tables.removed, user.bytes)
        try self.put(self.tables.forgotten, hash, ForgottenRecord.value(hash: hash, time: max(time, latest)))
        // Not even the id stays; that the user is unmarked changes what readers see, so the counter moves as well.
        _ = try self.delete(self.tables.users, user.bytes)
        try self.advanceCounter()
        if hadEvents, self.tally.users > 0 { self.tally.users -= 1 }
        return .forgotten(wasThere: deletedEvents || deletedTombstones)
    }

    private func advanceCounter() throws(StoreFailure) {
        let (next, isOver) = self.tally.counter.addingReportingOverflow(1)
        guard !isOver else { throw StoreFailure(status: MDB_CORRUPTED) }
        self.tally.counter = next
    }

    /// Gives the user a fresh change counter and takes stock of the events.
    ///
    /// - Parameter before: the mark from before, where nothing happened but that a later event was added.
    private func mark(
        _ user: Identifier,
        hadEvents: Bool,
        appendedTo before: StateMark? = nil
    ) throws(StoreFailure) {
        try self.advanceCounter()
        var count = 0
        var newest: Int64?
        let cursor = unsafe try StateCursor(self.raw, self.tables.events)
        if try cursor.seek(user.bytes) {
            count = try cursor.countDuplicates()
            // From the last one backwards, until a record is whole.
            var isThere = try cursor.move(MDB_LAST_DUP)
            while isThere, newest == nil {
                newest = unsafe user.bytes.withUnsafeBytes { unsafe EventRecord(cursor.value, user: $0)?.time }
                if newest == nil { isThere = try cursor.move(MDB_PREV_DUP) }
            }
            if newest == nil { newest = Int64.min }
        }
        if hadEvents, count == 0, self.tally.users > 0 { self.tally.users -= 1 }
        if !hadEvents, count > 0 { self.tally.users += 1 }
        let counter = self.tally.counter
        let mark = StateMark(
            counter: counter,
            rewritten: before?.rewritten ?? counter,
            eventCount: count,
            newest: newest
        )
        try self.put(self.tables.users, user.bytes, mark.value(user: user))
    }

    // MARK: Records

    private func hasEvents(_ user: Identifier) throws(StoreFailure) -> Bool {
        unsafe try StateBytes.get(self.raw, self.tables.events, user.bytes) { _ in true } ?? false
    }

    /// Copies of a key's values that begin with `prefix`. O(log values + found).
    private func values(_ table: MDB_dbi, _ key: [UInt8], _ prefix: [UInt8]) throws(StoreFailure) -> [[UInt8]] {
        let cursor = unsafe try StateCursor(self.raw, table)
        var found: [[UInt8]] = []
        var isThere = try cursor.seek(key, from: prefix)
        while isThere, unsafe cursor.value.starts(with: prefix) {
            found.append(unsafe Array(cursor.value))
            isThere = try cursor.move(MDB_NEXT_DUP)
        }
        return found
    }

    /// Copies of the user's events with an item. O(events of the user).
    private func events(of user: Identifier, with item: Identifier) throws(StoreFailure) -> [[UInt8]] {
        let cursor = unsafe try StateCursor(self.raw, self.tables.events)
        let name = [UInt8(item.bytes.count)] + item.bytes
        var found: [[UInt8]] = []
        var isThere = try cursor.seek(user.bytes)
        while isThere {
            let value = unsafe cursor.value
            // Damaged or not: what bears the item's name goes.
            if value.count > 8, unsafe value[8...].starts(with: name) { found.append(unsafe Array(value)) }
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

    private func delete(_ table: MDB_dbi, _ key: [UInt8], _ value: [UInt8]) throws(StoreFailure) {
        let status = unsafe StateBytes.lend(key) { key in
            unsafe StateBytes.lend(value) { value in unsafe mdb_del(self.raw, table, &key, &value) }
        }
        try StoreFailure.check(status)
    }

    /// All values of a key; false where there are none.
    private func delete(_ table: MDB_dbi, _ key: [UInt8]) throws(StoreFailure) -> Bool {
        let status = unsafe StateBytes.lend(key) { key in unsafe mdb_del(self.raw, table, &key, nil) }
        if status == MDB_NOTFOUND { return false }
        try StoreFailure.check(status)
        return true
    }
}
