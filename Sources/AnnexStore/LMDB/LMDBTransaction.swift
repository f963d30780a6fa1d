import AnnexCore
import CLMDB

/// Holds a transaction, which is aborted when its owner lets go of it. It keeps the file open. One thread at a time may
/// use it.
@safe final class LMDBTransaction {
    private let environment: LMDBEnvironment
    /// Holds the handle that cursors need.
    let raw: OpaquePointer
    private var isOpen = true

    init(_ environment: LMDBEnvironment, takingOwnership raw: OpaquePointer) {
        self.environment = environment
        unsafe self.raw = raw
    }

    deinit { self.abort() }

    func abort() {
        guard self.isOpen else { return }
        self.isOpen = false
        unsafe mdb_txn_abort(self.raw)
    }

    /// Makes all durable. Blocks for the disk. Ends the transaction, whatever comes of it.
    func commit() throws(LMDBFailure) {
        guard self.isOpen else { throw LMDBFailure(status: MDB_BAD_TXN) }
        self.isOpen = false
        try LMDBFailure.check(unsafe mdb_txn_commit(self.raw))
    }

    /// Lets go of what a read-only transaction sees, until `renew`.
    func reset() { unsafe mdb_txn_reset(self.raw) }

    /// Makes a read-only transaction see the file as of now. Allocates nothing. Returns LMDB's status.
    func renew() -> Int32 { unsafe mdb_txn_renew(self.raw) }

    // MARK: Tables

    /// Opens a table; nil where there is none. The handle is for all transactions once this one is committed.
    func table(_ name: String, flags: Int32 = 0) throws(LMDBFailure) -> MDB_dbi? {
        var table: MDB_dbi = 0
        let status = unsafe mdb_dbi_open(self.raw, name, UInt32(flags), &table)
        if status == MDB_NOTFOUND { return nil }
        try LMDBFailure.check(status)
        return table
    }

    /// Opens a table, or makes it.
    func makeTable(_ name: String, flags: Int32 = 0) throws(LMDBFailure) -> MDB_dbi {
        guard let table = try self.table(name, flags: flags | MDB_CREATE) else {
            throw LMDBFailure(status: MDB_NOTFOUND)
        }
        return table
    }

    /// Returns the flags that a table was made with.
    func flags(of table: MDB_dbi) throws(LMDBFailure) -> Int32 {
        var flags: UInt32 = 0
        try LMDBFailure.check(unsafe mdb_dbi_flags(self.raw, table, &flags))
        return Int32(bitPattern: flags)
    }

    /// Returns the number of entries of a table. O(1).
    func count(_ table: MDB_dbi) throws(LMDBFailure) -> Int {
        var status = MDB_stat()
        try LMDBFailure.check(unsafe mdb_stat(self.raw, table, &status))
        return Int(clamping: status.ms_entries)
    }

    // MARK: Entries

    /// Returns the (first) value of a key, as long as the transaction lives; nil where there is none, or no such key is
    /// possible.
    func value(_ table: MDB_dbi, _ key: UnsafeRawBufferPointer) throws(LMDBFailure) -> UnsafeRawBufferPointer? {
        guard unsafe !key.isEmpty, key.count <= Identifier.maximumLength else { return nil }
        var name = unsafe MDB_val(mv_size: key.count, mv_data: UnsafeMutableRawPointer(mutating: key.baseAddress))
        var value = unsafe MDB_val()
        let status = unsafe mdb_get(self.raw, table, &name, &value)
        if status == MDB_NOTFOUND { return nil }
        try LMDBFailure.check(status)
        return unsafe UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size)
    }

    /// Lends the (first) value of a key; nil where there is none.
    func get<R>(_ table: MDB_dbi, _ key: [UInt8], _ body: (UnsafeRawBufferPointer) -> R) throws(LMDBFailure) -> R? {
        var value = unsafe MDB_val()
        let status = unsafe LMDBBytes.lend(key) { key in unsafe mdb_get(self.raw, table, &key, &value) }
        if status == MDB_NOTFOUND { return nil }
        try LMDBFailure.check(status)
        return unsafe body(UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size))
    }

    func has(_ table: MDB_dbi, _ key: [UInt8]) throws(LMDBFailure) -> Bool {
        unsafe try self.get(table, key) { _ in true } ?? false
    }

    /// Puts a value under a key: in the place of the one there, or, in a table of sorted values, beside the others.
    func put(_ table: MDB_dbi, _ key: [UInt8], _ value: [UInt8]) throws(LMDBFailure) {
        try self.put(table, key, value, flags: 0)
    }

    /// Puts a record behind the last key: pages are filled in order, so the file is compact and the same each time.
    func append(_ table: MDB_dbi, _ key: [UInt8], _ value: [UInt8]) throws(LMDBFailure) {
        try self.put(table, key, value, flags: MDB_APPEND)
    }

    private func put(_ table: MDB_dbi, _ key: [UInt8], _ value: [UInt8], flags: Int32) throws(LMDBFailure) {
        let status = unsafe LMDBBytes.lend(key) { key in
            unsafe LMDBBytes.lend(value) { value in unsafe mdb_put(self.raw, table, &key, &value, UInt32(flags)) }
        }
        try LMDBFailure.check(status)
    }

    /// Deletes one value of a key. Throws MDB_NOTFOUND where it is not there.
    func delete(_ table: MDB_dbi, _ key: [UInt8], _ value: [UInt8]) throws(LMDBFailure) {
        let status = unsafe LMDBBytes.lend(key) { key in
            unsafe LMDBBytes.lend(value) { value in unsafe mdb_del(self.raw, table, &key, &value) }
        }
        try LMDBFailure.check(status)
    }

    func deleteIfThere(_ table: MDB_dbi, _ key: [UInt8], _ value: [UInt8]) throws(LMDBFailure) {
        do throws(LMDBFailure) { try self.delete(table, key, value) } catch {
            guard error.status == MDB_NOTFOUND else { throw error }
        }
    }

    /// Deletes all values of a key. Returns false where there are none.
    func delete(_ table: MDB_dbi, _ key: [UInt8]) throws(LMDBFailure) -> Bool {
        let status = unsafe LMDBBytes.lend(key) { key in unsafe mdb_del(self.raw, table, &key, nil) }
        if status == MDB_NOTFOUND { return false }
        try LMDBFailure.check(status)
        return true
    }
}
