import AnnexCore

/// A record of `events`, lent.
@safe struct EventRecord {
    let item: UnsafeRawBufferPointer
    let weight: Double
    let time: Int64

    /// Returns nil where the record is damaged.
    init?(_ value: UnsafeRawBufferPointer, user: UnsafeRawBufferPointer) {
        guard let content = unsafe StateSchema.unseal(value, key: user), content.count >= 18,
            unsafe content.count == 17 + Int(content[8])
        else { return nil }
        unsafe self.item = UnsafeRawBufferPointer(rebasing: content[9..<(content.count - 8)])
        self.time = unsafe StateSchema.time(content, at: 0)
        self.weight = Double(bitPattern: unsafe StateSchema.long(content, at: content.count - 8))
        guard self.weight.isFinite else { return nil }
    }

    static func value(_ prefix: [UInt8], user: Identifier, weight: Double) -> [UInt8] {
        var value = prefix
        StateSchema.append(weight.bitPattern, to: &value)
        StateSchema.seal(&value, key: user.bytes)
        return value
    }
}

/// A record of `removed`, lent.
@safe struct TombstoneRecord {
    let item: UnsafeRawBufferPointer
    let time: Int64

    /// Returns nil where the record is damaged.
    init?(_ value: UnsafeRawBufferPointer, user: UnsafeRawBufferPointer) {
        guard let content = unsafe StateSchema.unseal(value, key: user), content.count >= 10,
            unsafe content.count == 9 + Int(content[0])
        else { return nil }
        unsafe self.item = UnsafeRawBufferPointer(rebasing: content[1..<(content.count - 8)])
        self.time = unsafe StateSchema.time(content, at: content.count - 8)
    }

    static func value(_ prefix: [UInt8], user: Identifier, time: Int64) -> [UInt8] {
        var value = prefix
        StateSchema.append(time: time, to: &value)
        StateSchema.seal(&value, key: user.bytes)
        return value
    }
}

/// A record of `forgotten`.
enum ForgottenRecord {
    static func value(hash: [UInt8], time: Int64) -> [UInt8] {
        var value: [UInt8] = []
        StateSchema.append(time: time, to: &value)
        StateSchema.seal(&value, key: hash)
        return value
    }

    /// Returns nil where the record is damaged.
    static func time(_ value: UnsafeRawBufferPointer, hash: UnsafeRawBufferPointer) -> Int64? {
        guard let content = unsafe StateSchema.unseal(value, key: hash), content.count == 8 else { return nil }
        return unsafe StateSchema.time(content, at: 0)
    }
}

/// Counts of the whole store: row `tally` of table `meta`.
struct StateTally: Equatable {
    /// The highest change counter given out.
    var counter: UInt64 = 0
    /// Counts users with at least one event.
    var users: UInt64 = 0

    init() {}

    /// Returns nil where the record is damaged.
    init?(_ value: UnsafeRawBufferPointer) {
        let content = unsafe StateSchema.tallyKey.withUnsafeBytes { unsafe StateSchema.unseal(value, key: $0) }
        guard let content = unsafe content, content.count == 16 else { return nil }
        self.counter = unsafe StateSchema.long(content, at: 0)
        self.users = unsafe StateSchema.long(content, at: 8)
    }

    var value: [UInt8] {
        var value: [UInt8] = []
        StateSchema.append(self.counter, to: &value)
        StateSchema.append(self.users, to: &value)
        StateSchema.seal(&value, key: StateSchema.tallyKey)
        return value
    }
}
