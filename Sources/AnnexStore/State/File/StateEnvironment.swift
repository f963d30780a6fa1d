import AnnexCore
import CLMDB

/// Holds `state.lmdb`, opened with its tables. Any thread may use it.
final class StateEnvironment: Sendable {
    struct Tables {
        var meta: MDB_dbi = 0
        var events: MDB_dbi = 0
        var removed: MDB_dbi = 0
        /// It is nil in a file of format 1.
        var items: MDB_dbi?
        var forgotten: MDB_dbi = 0
        var users: MDB_dbi = 0
    }

    let file: LMDBEnvironment
    let tables: Tables
    /// Held as long as the file is open; nil where another holds it.
    private let folder: StateFolder?

    var path: String { self.file.path }

    /// Opens the file as it is, or makes it.
    ///
    /// - Throws: `.damaged` where it is no file of the kind, `.system` where it may not be written.
    init(_ path: String, in folder: StateFolder?, mode: LMDBEnvironment.Mode, mapBytes: Int) throws(AnnexError) {
        self.folder = folder
        self.file = try LMDBEnvironment(path, .state, mode: mode, mapBytes: mapBytes)
        var isNew = false
        if case .create = mode { isNew = true }
        do throws(LMDBFailure) { self.tables = try Self.openTables(self.file, isNew: isNew) } catch {
            throw error.error("cannot open the tables", path, .state)
        }
    }

    private static func openTables(_ file: LMDBEnvironment, isNew: Bool) throws(LMDBFailure) -> Tables {
        let transaction = try file.begin(readOnly: !isNew)
        var tables = Tables()
        tables.meta = try Self.table(transaction, StateSchema.meta, 0, isNew)
        tables.events = try Self.table(transaction, StateSchema.events, MDB_DUPSORT, isNew)
        tables.removed = try Self.table(transaction, StateSchema.removed, MDB_DUPSORT, isNew)
        tables.forgotten = try Self.table(transaction, StateSchema.forgotten, 0, isNew)
        tables.users = try Self.table(transaction, StateSchema.users, 0, isNew)
        let hasIndex = try isNew ? true : transaction.table(StateSchema.items, flags: MDB_DUPSORT) != nil
        if hasIndex { tables.items = try Self.table(transaction, StateSchema.items, MDB_DUPSORT, isNew) }
        try transaction.commit()
        return tables
    }

    private static func table(
        _ transaction: LMDBTransaction,
        _ name: String,
        _ flags: Int32,
        _ isNew: Bool
    ) throws(LMDBFailure) -> MDB_dbi {
        if isNew { return try transaction.makeTable(name, flags: flags) }
        guard let table = try transaction.table(name, flags: flags), try transaction.flags(of: table) == flags else {
            // The table is missing, or it belongs to another kind of file.
            throw LMDBFailure(status: MDB_CORRUPTED)
        }
        return table
    }
}
