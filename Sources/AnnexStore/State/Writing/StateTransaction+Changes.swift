import AnnexCore
import CLMDB

/// Applies each kind of change.
extension StateTransaction {
    /// Applies a change. After a throw the transaction may only be aborted.
    func apply(_ change: StateChange) throws(LMDBFailure) -> StateOutcome {
        switch change {
        case .event(let user, let item, let weight, let time):
            try self.applyEvent(user, item, weight, time)
        case .stampedEvent(let user, let item, let weight, let time):
            try self.applyEvent(user, item, weight, self.freeTime(user, item, from: time))
        case .remove(let user, let item, let time):
            try self.applyRemoval(user, item, time)
        case .forget(let user, let hash, let time):
            try self.applyForgetting(user, hash, time)
        case .together(let changes):
            try self.apply(changes)
        }
    }

    private func apply(_ changes: [StateChange]) throws(LMDBFailure) -> StateOutcome {
        var outcomes: [StateOutcome] = []
        outcomes.reserveCapacity(changes.count)
        for change in changes { outcomes.append(try self.apply(change)) }
        return .together(outcomes)
    }

    /// Takes O(log events) time.
    private func applyEvent(
        _ user: Identifier,
        _ item: Identifier,
        _ weight: Double,
        _ time: Int64
    ) throws(LMDBFailure) -> StateOutcome {
        let prefix = StateSchema.eventPrefix(item, time)
        let value = EventRecord.value(prefix, user: user, weight: weight)
        let old = try self.values(self.tables.events, user.bytes, prefix)
        if old.count == 1, old[0] == value { return .unchanged }
        let before = try self.storedMark(user)
        for record in old { try self.lmdb.delete(self.tables.events, user.bytes, record) }
        let cursor = try LMDBCursor(self.lmdb, self.tables.events)
        try cursor.put(user.bytes, value)
        let count = try cursor.countDuplicates()
        let isFirst = old.isEmpty && count == 1
        try self.advanceCounter()
        if isFirst { self.tally.users += 1 }
        // Without a mark that is whole it is not known which event was the newest.
        let newest = if let before { max(before.newest ?? time, time) } else { try self.newestTime(of: user) }
        let isLatest = before.map { $0.newest.map { $0 < time } ?? true } ?? isFirst
        try self.put(user, newest: newest, count: count, rewritten: isLatest ? before?.rewritten : nil)
        if old.isEmpty { try self.enter(user, item, time, count: count) }
        return old.isEmpty ? .added : .replaced
    }

    private func storedMark(_ user: Identifier) throws(LMDBFailure) -> StateMark? {
        let mark = unsafe try self.lmdb.get(self.tables.users, user.bytes) { value in
            unsafe user.bytes.withUnsafeBytes { unsafe StateMark(value, user: $0) }
        }
        return mark ?? nil
    }

    /// A stamp may run this far ahead of the clock, to come behind the user's newest event.
    private static let stampLeadMillis: Int64 = 10_000

    /// Returns a time from `time` on at which the user has no event with the item.
    ///
    /// Where the user's newest event is at most 10 s ahead, the time is the millisecond behind it, so that events that
    /// come together stay in the order in which they came. Otherwise it is behind the item's latest event within the
    /// next 10 s; where those are taken to their end, within twice as long, and so on. O(log events) for each doubling.
    private func freeTime(_ user: Identifier, _ item: Identifier, from time: Int64) throws(LMDBFailure) -> Int64 {
        let mark = try self.storedMark(user)
        let last = if let mark { mark.newest } else { try self.newestTime(of: user) }
        let newest = last ?? Int64.min
        guard newest >= time else { return time }
        let (lead, isOver) = newest.subtractingReportingOverflow(time)
        if !isOver, lead < Self.stampLeadMillis, newest < Int64.max { return newest + 1 }
        var window = Self.stampLeadMillis
        while true {
            let (end, isBehind) = time.addingReportingOverflow(window)
            if isBehind { return Int64.max }
            guard let latest = try self.latestTime(of: user, item, before: end), latest >= time else { return time }
            if latest + 1 < end { return latest + 1 }
            let (doubled, isTooLong) = window.multipliedReportingOverflow(by: 2)
            if isTooLong { return Int64.max }
            window = doubled
        }
    }

    /// Takes O(log events + events with the item) time. A tombstone that is there stays where its time is later.
    private func applyRemoval(
        _ user: Identifier,
        _ item: Identifier,
        _ time: Int64
    ) throws(LMDBFailure) -> StateOutcome {
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
        for record in events {
            try self.lmdb.delete(self.tables.events, user.bytes, record)
            try self.unindex(user, record)
        }
        for record in old { try self.lmdb.delete(self.tables.removed, user.bytes, record) }
        try self.lmdb.put(self.tables.removed, user.bytes, value)
        try self.takeStock(of: user, hadEvents: hadEvents)
        return .removed(wasThere: !events.isEmpty)
    }

    /// Takes O(pages of the user) time. A tombstone that is there stays where its time is later.
    private func applyForgetting(
        _ user: Identifier,
        _ hash: [UInt8],
        _ time: Int64
    ) throws(LMDBFailure) -> StateOutcome {
        let stored = unsafe try self.lmdb.get(self.tables.forgotten, hash) { value in
            unsafe hash.withUnsafeBytes { unsafe ForgottenRecord.time(value, hash: $0) }
        }
        let latest = (stored ?? nil) ?? time
        let hadEvents = try self.hasEvents(user)
        let deletedEvents = try self.lmdb.delete(self.tables.events, user.bytes)
        if let items = self.tables.items { _ = try self.lmdb.delete(items, user.bytes) }
        let deletedTombstones = try self.lmdb.delete(self.tables.removed, user.bytes)
        try self.lmdb.put(self.tables.forgotten, hash, ForgottenRecord.value(hash: hash, time: max(time, latest)))
        // The id goes as well. That the user is unmarked changes what readers see, so the counter moves too.
        _ = try self.lmdb.delete(self.tables.users, user.bytes)
        try self.advanceCounter()
        if hadEvents, self.tally.users > 0 { self.tally.users -= 1 }
        return .forgotten(wasThere: deletedEvents || deletedTombstones)
    }

    private func advanceCounter() throws(LMDBFailure) {
        let (next, isOver) = self.tally.counter.addingReportingOverflow(1)
        guard !isOver else { throw LMDBFailure(status: MDB_CORRUPTED) }
        self.tally.counter = next
    }

    /// Gives the user a fresh change counter and takes stock of the events.
    private func takeStock(of user: Identifier, hadEvents: Bool) throws(LMDBFailure) {
        try self.advanceCounter()
        let cursor = try LMDBCursor(self.lmdb, self.tables.events)
        var count = 0
        if try cursor.seek(user.bytes) { count = try cursor.countDuplicates() }
        if hadEvents, count == 0, self.tally.users > 0 { self.tally.users -= 1 }
        if !hadEvents, count > 0 { self.tally.users += 1 }
        try self.put(user, newest: self.newestTime(of: user), count: count, rewritten: nil)
    }

    /// Returns the time of the user's last event whose record is whole; the lowest time where none is; nil without
    /// events.
    private func newestTime(of user: Identifier) throws(LMDBFailure) -> Int64? {
        let cursor = try LMDBCursor(self.lmdb, self.tables.events)
        guard try cursor.seek(user.bytes) else { return nil }
        var isThere = try cursor.move(MDB_LAST_DUP)
        while isThere {
            let time = unsafe user.bytes.withUnsafeBytes { unsafe EventRecord(cursor.value, user: $0)?.time }
            if let time { return time }
            isThere = try cursor.move(MDB_PREV_DUP)
        }
        return Int64.min
    }

    /// Stores the user's mark with the present change counter.
    ///
    /// - Parameter rewritten: the counter of the last rewriting; nil where this change is one.
    private func put(
        _ user: Identifier,
        newest: Int64?,
        count: Int,
        rewritten: UInt64?
    ) throws(LMDBFailure) {
        let counter = self.tally.counter
        let mark = StateMark(counter: counter, rewritten: rewritten ?? counter, eventCount: count, newest: newest)
        try self.lmdb.put(self.tables.users, user.bytes, mark.value(user: user))
    }
}
