import CLMDB

/// Stands at a position in a table. A cursor must go before a transaction that writes ends; one of a read-only
/// transaction may outlive it and be renewed with another.
@safe final class LMDBCursor {
    private let raw: OpaquePointer
    private var lastKey = unsafe MDB_val()
    private var lastValue = unsafe MDB_val()

    init(_ transaction: LMDBTransaction, _ table: MDB_dbi) throws(LMDBFailure) {
        var opened: OpaquePointer?
        try LMDBFailure.check(unsafe mdb_cursor_open(transaction.raw, table, &opened))
        guard let cursor = unsafe opened else { throw LMDBFailure(status: MDB_PANIC) }
        unsafe self.raw = cursor
    }

    deinit { unsafe mdb_cursor_close(self.raw) }

    /// Makes a cursor of a read-only transaction usable in its next scope. Allocates nothing.
    func renew(_ transaction: LMDBTransaction) throws(LMDBFailure) {
        try LMDBFailure.check(unsafe mdb_cursor_renew(transaction.raw, self.raw))
    }

    /// The key is valid until the transaction ends or writes.
    var key: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: self.lastKey.mv_data, count: self.lastKey.mv_size)
    }

    /// The value is valid until the transaction ends or writes.
    var value: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: self.lastValue.mv_data, count: self.lastValue.mv_size)
    }

    /// Moves to the first value of a key. Returns false where there is none.
    func seek(_ key: UnsafeRawBufferPointer) throws(LMDBFailure) -> Bool {
        unsafe self.lastKey.mv_size = key.count
        unsafe self.lastKey.mv_data = UnsafeMutableRawPointer(mutating: key.baseAddress)
        return try self.move(MDB_SET)
    }

    func seek(_ key: [UInt8]) throws(LMDBFailure) -> Bool {
        let status = unsafe LMDBBytes.lend(key) { key in
            unsafe mdb_cursor_get(self.raw, &key, &self.lastValue, MDB_SET)
        }
        return try Self.isFound(status)
    }

    /// Moves to the first value of the first key that is not below one. Returns false where there is none.
    func seek(atLeast key: [UInt8]) throws(LMDBFailure) -> Bool {
        let status = unsafe LMDBBytes.lend(key) { key in
            let status = unsafe mdb_cursor_get(self.raw, &key, &self.lastValue, MDB_SET_RANGE)
            unsafe self.lastKey = key
            return status
        }
        return try Self.isFound(status)
    }

    /// Moves to a key's first value that is not below `value`. Returns false where there is none.
    func seek(_ key: [UInt8], from value: [UInt8]) throws(LMDBFailure) -> Bool {
        let status = unsafe LMDBBytes.lend(key) { key in
            unsafe LMDBBytes.lend(value) { value in
                let status = unsafe mdb_cursor_get(self.raw, &key, &value, MDB_GET_BOTH_RANGE)
                unsafe self.lastValue = value
                return status
            }
        }
        return try Self.isFound(status)
    }

    /// Moves to the first value of the first key that comes behind `last`, or of all where that is nil. Returns false
    /// where there is none.
    func moveBehind(_ last: [UInt8]?) throws(LMDBFailure) -> Bool {
        guard let last else { return try self.move(MDB_FIRST) }
        guard try self.seek(atLeast: last) else { return false }
        return unsafe self.key.elementsEqual(last) ? try self.move(MDB_NEXT_NODUP) : true
    }

    /// Makes one of LMDB's moves. Returns false where it leads nowhere.
    func move(_ operation: MDB_cursor_op) throws(LMDBFailure) -> Bool {
        try Self.isFound(unsafe mdb_cursor_get(self.raw, &self.lastKey, &self.lastValue, operation))
    }

    /// Puts a value in, and goes to it.
    func put(_ key: [UInt8], _ value: [UInt8]) throws(LMDBFailure) {
        let status = unsafe LMDBBytes.lend(key) { key in
            unsafe LMDBBytes.lend(value) { value in unsafe mdb_cursor_put(self.raw, &key, &value, 0) }
        }
        try LMDBFailure.check(status)
    }

    /// Returns the number of values that the key at this position has. O(1).
    func countDuplicates() throws(LMDBFailure) -> Int {
        var count = 0
        try LMDBFailure.check(unsafe mdb_cursor_count(self.raw, &count))
        return count
    }

    private static func isFound(_ status: Int32) throws(LMDBFailure) -> Bool {
        if status == MDB_NOTFOUND { return false }
        try LMDBFailure.check(status)
        return true
    }
}
