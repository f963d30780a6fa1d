import AnnexCore
import CLMDB

/// Keeps positions of the log, which move in the transaction that applies the entries.
extension StateTransaction {
    enum Succession {
        case next
        /// It was applied before.
        case behind(LogMark)
        case gap(LogMark)
    }

    /// Tells whether an entry is the next to apply. O(log) once per block, then O(1).
    func succession(of entry: LoggedChange) throws(LMDBFailure) -> Succession {
        let mark = try self.mark(entry.block)
        if entry.position <= mark.position { return .behind(mark) }
        return entry.after == mark.position ? .next : .gap(mark)
    }

    /// Moves the position of a block over an entry that is `.next`.
    func move(over entry: LoggedChange) throws(LMDBFailure) -> LogMark {
        let mark = LogMark(position: entry.position, count: try self.mark(entry.block).count &+ 1)
        self.marks[entry.block] = mark
        self.movedBlocks.insert(entry.block)
        return mark
    }

    private func mark(_ block: Int) throws(LMDBFailure) -> LogMark {
        guard StateSchema.logKeys.indices.contains(block) else { throw LMDBFailure(status: MDB_BAD_VALSIZE) }
        if let known = self.marks[block] { return known }
        let key = StateSchema.logKeys[block]
        let stored = unsafe try self.lmdb.get(self.tables.meta, key) { unsafe LogMark($0, key: key) }
        let mark: LogMark
        switch stored {
        case .none: mark = .start
        case .some(.none): throw LMDBFailure(status: MDB_CORRUPTED)
        case .some(.some(let found)): mark = found
        }
        self.marks[block] = mark
        return mark
    }

    /// Writes the positions that moved.
    func putMarks() throws(LMDBFailure) {
        for block in self.movedBlocks.sorted() {
            guard let mark = self.marks[block] else { continue }
            let key = StateSchema.logKeys[block]
            try self.lmdb.put(self.tables.meta, key, mark.value(key: key))
        }
    }

    /// Begins again before the first entry of every block.
    func dropMarks() throws(LMDBFailure) {
        for block in StateSchema.logKeys.indices {
            self.marks[block] = LogMark.start
            self.movedBlocks.insert(block)
        }
    }
}

extension LogMark {
    /// Returns nil where the record is damaged.
    init?(_ value: UnsafeRawBufferPointer, key: [UInt8]) {
        let content = unsafe key.withUnsafeBytes { unsafe StateSchema.unseal(value, key: $0) }
        guard let content = unsafe content, content.count == 24 else { return nil }
        self.init(
            position: LogPosition(
                milliseconds: unsafe StateSchema.long(content, at: 0),
                sequence: unsafe StateSchema.long(content, at: 8)
            ),
            count: unsafe StateSchema.long(content, at: 16)
        )
    }

    func value(key: [UInt8]) -> [UInt8] {
        var value: [UInt8] = []
        StateSchema.append(self.position.milliseconds, to: &value)
        StateSchema.append(self.position.sequence, to: &value)
        StateSchema.append(self.count, to: &value)
        StateSchema.seal(&value, key: key)
        return value
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
