package import AnnexCore
import CLMDB

/// What a state says of the log that it follows, beside its positions: rows `log/id` and `log/slots` of table `meta`.
package struct StateLog: Sendable, Equatable {
    /// Nil where none was followed yet, or by programs only that knew no ids.
    package var id: LogIdentity?
    /// Whose changes are applied; nil likewise.
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

extension StateTransaction {
    /// Writes what is not nil.
    func keep(_ log: StateLog) throws(LMDBFailure) {
        let rows = [(StateSchema.logIDKey, log.id?.description), (StateSchema.logSlotsKey, log.slots?.description)]
        for (key, text) in rows {
            guard let text else { continue }
            var row = Array(text.utf8)
            StateSchema.seal(&row, key: key)
            try self.lmdb.put(self.tables.meta, key, row)
            self.hasNews = true
        }
    }

    /// The next log is another one.
    func dropLogID() throws(LMDBFailure) {
        if try self.lmdb.delete(self.tables.meta, StateSchema.logIDKey) { self.hasNews = true }
    }
}

extension StateStore {
    /// Has what is not nil written before all that is handed in afterwards. Does not block.
    ///
    /// - Parameter completion: runs once, as `submit`'s does.
    package func keep(_ log: StateLog, _ completion: @escaping @Sendable (AnnexError?) -> Void) {
        let work = StateQueue.Waiting(.keepLog(log) { completion($0.failure) })
        if let error = self.queue.put(CollectionOfOne(work)) { completion(error) }
    }
}

extension Result where Failure == AnnexError {
    fileprivate var failure: AnnexError? { if case .failure(let error) = self { error } else { nil } }
}
