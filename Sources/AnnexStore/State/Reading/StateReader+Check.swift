import AnnexCore
import CLMDB

/// Looking at every record, in scopes that each go on behind the one before. Each of these calls is a scope of its own.
extension StateReader {
    struct Checked {
        var records = 0
        var damaged = 0
        /// Lists users whose entries of the index are not those of their events.
        var users: [[UInt8]] = []
        /// Holds the last key that was read. It is nil where there are no more.
        var last: [UInt8]?
    }

    /// Holds entries of one user that are wrong or missing, in parts.
    struct WrongEntries {
        var parts: [[[UInt8]]] = []
        private(set) var count = 0

        mutating func append(_ entry: [UInt8], part: Int) {
            if self.count.isMultiple(of: part) { self.parts.append([]) }
            self.parts[self.parts.count - 1].append(entry)
            self.count += 1
        }
    }

    /// One call collects at most so many wrong entries, because they lie in memory.
    private static let wrongEntriesLimit = 20_000

    /// Reads whole keys of a table other than `events` until there are `records` records.
    func checkTable(_ name: String, after last: [UInt8]?, records: Int) throws(AnnexError) -> Checked {
        try self.beginScope()
        defer { self.endScope() }
        let tables = self.environment.tables
        return try self.check { () throws(LMDBFailure) in
            switch name {
            case StateSchema.removed:
                unsafe try self.walk(tables.removed, after: last, records) { key, value in
                    unsafe TombstoneRecord(value, user: key).map { unsafe Identifier.isValid($0.item) } ?? false
                }
            case StateSchema.forgotten:
                unsafe try self.walk(tables.forgotten, after: last, records) { key, value in
                    unsafe key.count == StateSchema.hashBytes && ForgottenRecord.time(value, hash: key) != nil
                }
            default:
                unsafe try self.walk(tables.users, after: last, records) { key, value in
                    unsafe Identifier.isValid(key) && StateMark(value, user: key) != nil
                }
            }
        }
    }

    private func walk(
        _ table: MDB_dbi,
        after last: [UInt8]?,
        _ records: Int,
        _ isWhole: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool
    ) throws(LMDBFailure) -> Checked {
        var checked = Checked()
        let cursor = try LMDBCursor(self.lmdb, table)
        var isThere = try cursor.moveBehind(last)
        while isThere {
            checked.records += 1
            if unsafe !isWhole(cursor.key, cursor.value) { checked.damaged += 1 }
            let key = unsafe Array(cursor.key)
            isThere = try cursor.move(MDB_NEXT)
            if isThere, checked.records >= records, unsafe !cursor.key.elementsEqual(key) {
                checked.last = key
                break
            }
        }
        return checked
    }

    /// Reads whole users' events, and compares their entries of the index, until there are `records` records.
    func checkEvents(after last: [UInt8]?, records: Int) throws(AnnexError) -> Checked {
        try self.beginScope()
        defer { self.endScope() }
        let tables = self.environment.tables
        return try self.check { () throws(LMDBFailure) in
            var checked = Checked()
            let cursor = try LMDBCursor(self.lmdb, tables.events)
            let index = try tables.items.map { (table) throws(LMDBFailure) in
                try LMDBCursor(self.lmdb, table)
            }
            var isThere = try cursor.moveBehind(last)
            while isThere {
                let user = unsafe Array(cursor.key)
                let count = try cursor.countDuplicates()
                var events = EntrySum()
                repeat {
                    checked.records += 1
                    let value = unsafe cursor.value
                    let record = unsafe user.withUnsafeBytes { unsafe EventRecord(value, user: $0) }
                    if record.map({ unsafe !Identifier.isValid($0.item) }) ?? true { checked.damaged += 1 }
                    unsafe events.add(record: value)
                } while try cursor.move(MDB_NEXT_DUP)
                if let index {
                    let entries = try Self.sum(index, user)
                    let needsEntries = entries.count > 0 || count > self.shared.settings.walkLimit
                    if needsEntries, entries != events { checked.users.append(user) }
                }
                isThere = try cursor.move(MDB_NEXT_NODUP)
                if isThere, checked.records >= records {
                    checked.last = user
                    break
                }
            }
            return checked
        }
    }

    private static func sum(_ index: LMDBCursor, _ user: [UInt8]) throws(LMDBFailure) -> EntrySum {
        var sum = EntrySum()
        var isThere = try index.seek(user)
        while isThere {
            unsafe sum.add(entry: index.value)
            isThere = try index.move(MDB_NEXT_DUP)
        }
        return sum
    }

    /// Returns the entries that the user's events should have and have not, and those that belong to no event. O(events
    /// of the user).
    ///
    /// - Parameter part: how many entries of a part there may be.
    func wrongEntries(of user: [UInt8], part: Int) throws(AnnexError) -> WrongEntries {
        try self.beginScope()
        defer { self.endScope() }
        let tables = self.environment.tables
        guard let items = tables.items else { return WrongEntries() }
        return try self.check { () throws(LMDBFailure) in
            let events = try LMDBCursor(self.lmdb, tables.events)
            let index = try LMDBCursor(self.lmdb, items)
            var wrong = WrongEntries()
            var isThere = try events.seek(user)
            while isThere, wrong.count < Self.wrongEntriesLimit {
                if let entry = unsafe StateSchema.indexEntry(of: events.value) {
                    let isFound = try index.seek(user, from: entry)
                    if unsafe !isFound || !index.value.elementsEqual(entry) { wrong.append(entry, part: part) }
                }
                isThere = try events.move(MDB_NEXT_DUP)
            }
            isThere = try index.seek(user)
            while isThere, wrong.count < Self.wrongEntriesLimit {
                let entry = unsafe Array(index.value)
                let start = Array(entry.suffix(8) + entry.dropLast(8))
                let isFound = try events.seek(user, from: start)
                if unsafe !isFound || !events.value.starts(with: start) { wrong.append(entry, part: part) }
                isThere = try index.move(MDB_NEXT_DUP)
            }
            return wrong
        }
    }
}

/// Tells whether two tables hold the same entries, in whatever order they come.
private struct EntrySum: Equatable {
    private(set) var count = 0
    private var sum: UInt64 = 0

    /// Adds an entry of `items`.
    mutating func add(entry: UnsafeRawBufferPointer) {
        let nameBytes = max(0, entry.count - 8)
        unsafe self.add(entry[..<nameBytes], entry[nameBytes...])
    }

    /// Adds a record of `events`, whose entry would be the same.
    mutating func add(record: UnsafeRawBufferPointer) {
        guard record.count >= 9, unsafe record.count >= 9 + Int(record[8]) else { return }
        unsafe self.add(record[8..<(9 + Int(record[8]))], record[..<8])
    }

    private mutating func add(_ name: Slice<UnsafeRawBufferPointer>, _ time: Slice<UnsafeRawBufferPointer>) {
        let basis: UInt64 = 0xcbf2_9ce4_8422_2325
        var hash = unsafe name.reduce(basis) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        hash = unsafe time.reduce(hash) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        hash = (hash ^ (hash >> 32)) &* 0x9e37_79b9_7f4a_7c15
        self.sum &+= hash ^ (hash >> 29)
        self.count += 1
    }
}
