import AnnexCore

/// Tells a reader whether anything about a user has changed, at the price of one look-up.
package struct StateMark: Sendable, Equatable {
    /// Each change of a user gets a value that no change of any user in this store has had before.
    package let counter: UInt64
    /// The counter of the last change that was more than an event later than all others of the user: what was made of the
    /// user at this counter or after lacks only such events.
    package let rewritten: UInt64
    /// Counts the user's stored events.
    package let eventCount: Int
    /// Holds the time of the user's newest event. It is nil where there are no events.
    package let newest: Int64?
}

extension StateMark {
    /// Reads a record of `users`. Returns nil where it is damaged.
    init?(_ value: UnsafeRawBufferPointer, user: UnsafeRawBufferPointer) {
        guard let content = unsafe StateSchema.unseal(value, key: user), content.count == 28 else { return nil }
        self.counter = unsafe StateSchema.long(content, at: 0)
        self.rewritten = unsafe StateSchema.long(content, at: 8)
        self.eventCount = Int(
            unsafe UInt32(littleEndian: content.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
        )
        self.newest = self.eventCount > 0 ? unsafe StateSchema.time(content, at: 20) : nil
    }

    func value(user: Identifier) -> [UInt8] {
        var value: [UInt8] = []
        StateSchema.append(self.counter, to: &value)
        StateSchema.append(self.rewritten, to: &value)
        StateSchema.append(UInt32(clamping: self.eventCount), to: &value)
        StateSchema.append(time: self.newest ?? Int64.min, to: &value)
        StateSchema.seal(&value, key: user.bytes)
        return value
    }
}
