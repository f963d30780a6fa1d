package import AnnexCore
import CLMDB

/// The record that a state keeps of its log, beside its positions: rows `log/id` and `log/slots` of table `meta`.
package struct StateLog: Sendable, Equatable {
    /// It is nil where none was followed yet, or by programs only that knew no ids.
    package var id: LogIdentity?
    /// Changes of users in these slots are applied. It is nil where `id` is.
    package var slots: SlotSet?

    package init(id: LogIdentity? = nil, slots: SlotSet? = nil) { (self.id, self.slots) = (id, slots) }

    /// - Throws: MDB_CORRUPTED where a row is damaged.
    init(_ transaction: LMDBTransaction, _ tables: StateEnvironment.Tables) throws(LMDBFailure) {
        func row(_ key: [UInt8]) throws(LMDBFailure) -> [UInt8]? {
            let found = unsafe try transaction.get(tables.meta, key) { unsafe StateSchema.row($0, key: key) }
            if case .some(.none) = found { throw LMDBFailure(status: MDB_CORRUPTED) }
            return found ?? nil
        }
        if let text = try row(StateSchema.logIDKey) {
            guard let id = LogIdentity(text) else { throw LMDBFailure(status: MDB_CORRUPTED) }
            self.id = id
        }
        if let text = try row(StateSchema.logSlotsKey) {
            guard let slots = SlotSet(parsing: String(decoding: text, as: UTF8.self)) else {
                throw LMDBFailure(status: MDB_CORRUPTED)
            }
            self.slots = slots
        }
    }
}
