import AnnexCore
import CLMDB
import Glibc

/// Reads an LMDB file of a version, which does not change. Any thread may use it.
final class VersionFile: Sendable {
    private let file: LMDBEnvironment
    /// LMDB lets only one transaction at a time open handles of tables, and frees them with it unless it is committed: so
    /// they are opened once, here, and shared.
    private let tables: [String: MDB_dbi]

    var path: String { self.file.path }

    /// Opens a file that exists, with all the tables that will be read, once `PageCheck` has walked it. O(entries).
    ///
    /// - Parameter optional: tables that may be missing.
    init(_ path: String, tables names: [String], optional: [String] = []) throws(AnnexError) {
        try PageCheck.check(path, .version)
        self.file = try LMDBEnvironment(path, .version, mode: .readOnly, mapBytes: nil)
        var tables: [String: MDB_dbi] = [:]
        do throws(LMDBFailure) {
            let transaction = try self.file.begin(readOnly: true)
            for name in names + optional { tables[name] = try transaction.table(name) }
            try transaction.commit()
        } catch { throw error.error("cannot open the tables", path, .version) }
        for name in names where tables[name] == nil {
            throw AnnexError(.damaged, "has no table '\(name)'", at: path, hint: LMDBFileKind.version.restore)
        }
        self.tables = tables
    }

    /// Returns the handle of a table that `init` was told of.
    func table(_ name: String) -> MDB_dbi {
        guard let table = self.tables[name] else { preconditionFailure("table '\(name)' was not opened with the file") }
        return table
    }

    /// Returns the handle of an optional table; nil where the file has none of that name.
    func optionalTable(_ name: String) -> MDB_dbi? { self.tables[name] }

    /// Begins a read transaction that stays open: the file does not change, so its values stay valid too.
    func makeSnapshot() throws(AnnexError) -> VersionSnapshot {
        do throws(LMDBFailure) { return VersionSnapshot(try self.file.begin(readOnly: true), self.path) } catch {
            throw error.error("cannot begin reading", self.path, .version)
        }
    }
}

/// Holds an open read transaction of a file that does not change. One thread at a time may use it.
final class VersionSnapshot {
    private let lmdb: LMDBTransaction
    private let path: String

    init(_ lmdb: LMDBTransaction, _ path: String) { (self.lmdb, self.path) = (lmdb, path) }

    /// Returns the number of entries of a table. O(1).
    func count(_ table: MDB_dbi) throws(AnnexError) -> Int {
        do throws(LMDBFailure) { return try self.lmdb.count(table) } catch {
            throw error.error("cannot count", self.path, .version)
        }
    }

    /// Lends the value of a key; nil where there is none, or the key is no possible one. Allocates nothing.
    func withValue<R>(
        _ table: MDB_dbi,
        _ key: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer?) -> R
    ) -> R {
        // The pages were walked when the file was opened, so that nothing but a missing key is left to go wrong.
        unsafe body((try? self.lmdb.value(table, key)) ?? nil)
    }

    /// Lends every key and value, in byte order of the keys, until `body` says false.
    func forEach(
        _ table: MDB_dbi,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(AnnexError) -> Bool
    ) throws(AnnexError) {
        let cursor = try self.check { () throws(LMDBFailure) in try LMDBCursor(self.lmdb, table) }
        var isThere = try self.check { () throws(LMDBFailure) in try cursor.move(MDB_FIRST) }
        while isThere {
            guard unsafe try body(cursor.key, cursor.value) else { return }
            isThere = try self.check { () throws(LMDBFailure) in try cursor.move(MDB_NEXT) }
        }
    }

    private func check<R>(_ body: () throws(LMDBFailure) -> R) throws(AnnexError) -> R {
        do throws(LMDBFailure) { return try body() } catch { throw error.error("cannot read", self.path, .version) }
    }
}

/// Writes a new LMDB file of a version. One thread uses it.
final class VersionFileWriter: Sendable {
    private let file: LMDBEnvironment

    var path: String { self.file.path }

    /// Makes a file that does not exist. The caller flushes with `sync`.
    init(_ path: String) throws(AnnexError) {
        guard unsafe access(path, F_OK) != 0 else { throw AnnexError(.system, "already exists", at: path) }
        self.file = try LMDBEnvironment(path, .version, mode: .create, mapBytes: 1 << 20)
    }

    /// Runs `body` in a write transaction, which is committed unless `body` throws. Where the map is full it is made
    /// twice as large and `body` runs again from the start: it must not change anything outside.
    func write(_ body: (LMDBTransaction) throws(LMDBFailure) -> Void) throws(AnnexError) {
        while true {
            do throws(LMDBFailure) {
                let transaction = try self.file.begin(readOnly: false)
                try body(transaction)
                return try transaction.commit()
            } catch  where error.status == MDB_MAP_FULL {
                let status = self.file.resize(to: self.file.mapBytes * 2)
                guard status == 0 else {
                    throw LMDBFailure(status: status).error("cannot enlarge the map", self.path, .version)
                }
            } catch {
                throw error.error("cannot write", self.path, .version)
            }
        }
    }

    /// Flushes the file to the disk. Blocks.
    func sync() throws(AnnexError) {
        do throws(LMDBFailure) { try self.file.sync() } catch {
            throw error.error("cannot flush", self.path, .version)
        }
    }
}
