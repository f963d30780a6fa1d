package import AnnexCore
import AnnexEngine
package import AnnexStore
package import AnnexWire

/// Changes as fields of entries, fit to be read by people: `do event user u7 item i3 weight 1.5 at 1700000000000 by … n 12`.
/// With `until` the entry counts only where its position is not later.
package struct EntryCodec {
    /// Entries for users of other slots are only passed over.
    let slots: SlotSet

    package init(slots: SlotSet) { self.slots = slots }

    package enum Decoded {
        case entry(LogEntry<StateChange>)
        /// It is about users of another shard.
        case foreign
        /// The entry is none that this program writes.
        case unknown
        /// No client could have stored it: a weight or a time is beyond its limits. The same for all replicas, whatever version
        /// they serve.
        case outsideLimits
    }

    private enum Field {
        static let kind = Array("do".utf8)
        /// Names the kind of a change that shares its entry with others.
        static let change = Array("change".utf8)
        static let user = Array("user".utf8)
        static let item = Array("item".utf8)
        static let weight = Array("weight".utf8)
        static let time = Array("at".utf8)
        static let origin = Array("by".utf8)
        static let sequence = Array("n".utf8)
        static let until = Array("until".utf8)
    }

    private enum Kind {
        static let event = Array("event".utf8)
        static let stamped = Array("stamped".utf8)
        static let remove = Array("remove".utf8)
        static let forget = Array("forget".utf8)
        static let several = Array("several".utf8)
    }

    package static func block(of change: StateChange) -> Int {
        switch change {
        case .event(let user, _, _, _), .stampedEvent(let user, _, _, _), .remove(let user, _, _),
            .forget(let user, _, _):
            Slot.block(of: Slot.of(user.bytes))
        case .together(let changes): Self.block(of: changes[0])
        }
    }

    package static func fields(of entry: LogEntry<StateChange>) -> [[UInt8]] {
        var fields: [[UInt8]] = []
        if case .together(let changes) = entry.change {
            // Each begins with its kind; a reader that knows only single changes passes over the whole.
            fields = [Field.kind, Kind.several]
            for change in changes { fields += Self.fields(of: change, kind: Field.change) }
        } else {
            fields = Self.fields(of: entry.change, kind: Field.kind)
        }
        fields += [Field.origin, Self.text(entry.key.origin), Field.sequence, text(entry.key.sequence)]
        if let until = entry.until { fields += [Field.until, text(until)] }
        return fields
    }

    private static func fields(of change: StateChange, kind: [UInt8]) -> [[UInt8]] {
        switch change {
        case .event(let user, let item, let weight, let time):
            [kind, Kind.event, Field.user, user.bytes, Field.item, item.bytes]
                + [Field.weight, Self.text(weight), Field.time, Self.text(time)]
        case .stampedEvent(let user, let item, let weight, let time):
            [kind, Kind.stamped, Field.user, user.bytes, Field.item, item.bytes]
                + [Field.weight, Self.text(weight), Field.time, Self.text(time)]
        case .remove(let user, let item, let time):
            [kind, Kind.remove, Field.user, user.bytes, Field.item, item.bytes, Field.time, Self.text(time)]
        case .forget(let user, _, let time):
            [kind, Kind.forget, Field.user, user.bytes, Field.time, Self.text(time)]
        case .together(let changes): changes.flatMap { Self.fields(of: $0, kind: kind) }
        }
    }

    private static func text(_ number: some LosslessStringConvertible) -> [UInt8] { Array(number.description.utf8) }

    /// Writes 32 hexadecimal digits.
    static func text(_ origin: EntryKey.Origin) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return [origin.high, origin.low].flatMap { half in
            stride(from: 60, through: 0, by: -4).map { digits[Int(truncatingIfNeeded: (half >> UInt64($0)) & 15)] }
        }
    }

    package func decode(_ fields: [ReplyValue], block: Int) -> Decoded {
        guard let parts = Self.parts(of: fields), let last = parts.last,
            let user = last.user.flatMap({ Identifier($0) })
        else { return .unknown }
        // All changes of an entry are of one slot.
        let slot = Slot.of(user.bytes)
        guard Slot.block(of: slot) == block else { return .unknown }
        guard self.slots.contains(slot) else { return .foreign }
        let until = last.until.map { Int64(String(decoding: $0, as: UTF8.self)) }
        // A limit that cannot be read says that there is one, but not which.
        if case .some(.none) = until { return .unknown }
        guard let origin = last.origin.flatMap({ Self.origin($0) }),
            let sequence = last.sequence.flatMap({ UInt64(String(decoding: $0, as: UTF8.self)) })
        else { return .unknown }
        var changes: [StateChange] = []
        for part in parts {
            guard let change = Self.change(part), Slot.of(part.user ?? []) == slot else { return .unknown }
            changes.append(change)
        }
        guard changes.allSatisfy({ Self.isWithinLimits($0) }) else { return .outsideLimits }
        let key = EntryKey(origin: origin, sequence: sequence)
        let change = StateChange(together: changes)
        return .entry(LogEntry(key: key, block: block, change: change, until: until ?? nil))
    }

    /// Returns the fields of each change, those of the entry with the last; nil where there is none.
    private static func parts(of fields: [ReplyValue]) -> [Values]? {
        guard fields.count >= 2, case .bulk(Field.kind) = fields[0], case .bulk(Kind.several) = fields[1] else {
            return Values(fields[...], kind: Field.kind).map { [$0] }
        }
        var parts: [Values] = []
        var start: Int?
        for index in stride(from: 2, through: fields.count, by: 2) {
            if index < fields.count {
                guard case .bulk(Field.change) = fields[index] else { continue }
            }
            if let start {
                guard let values = Values(fields[start..<index], kind: Field.change) else { return nil }
                parts.append(values)
            } else if index != 2 {
                return nil
            }
            start = index
        }
        return parts.count > 1 && parts.count <= Limits.maximumEntryChanges ? parts : nil
    }

    private static func isWithinLimits(_ change: StateChange) -> Bool {
        switch change {
        case .event(_, _, let weight, let time), .stampedEvent(_, _, let weight, let time):
            abs(weight) <= Limits.maximumWeight && EventTime.problem(time) == nil
        case .remove(_, _, let time), .forget(_, _, let time): EventTime.problem(time) == nil
        case .together(let changes): changes.allSatisfy { Self.isWithinLimits($0) }
        }
    }

    /// Holds the fields that are known by name, each once.
    private struct Values {
        var kind: [UInt8]?
        var user: [UInt8]?
        var item: [UInt8]?
        var weight: [UInt8]?
        var time: [UInt8]?
        var origin: [UInt8]?
        var sequence: [UInt8]?
        var until: [UInt8]?

        /// Returns nil where they are not pairs of bulks, or one is there twice.
        ///
        /// - Parameter kind: the name of the field that says what kind of change it is.
        init?(_ fields: ArraySlice<ReplyValue>, kind: [UInt8]) {
            guard fields.count % 2 == 0 else { return nil }
            func set(_ field: inout [UInt8]?, _ value: [UInt8]) -> Bool {
                defer { field = value }
                return field == nil
            }
            for index in stride(from: fields.startIndex, to: fields.endIndex, by: 2) {
                guard case .bulk(let name) = fields[index], case .bulk(let value) = fields[index + 1] else {
                    return nil
                }
                let isFirst =
                    switch name {
                    case kind: set(&self.kind, value)
                    case Field.user: set(&self.user, value)
                    case Field.item: set(&self.item, value)
                    case Field.weight: set(&self.weight, value)
                    case Field.time: set(&self.time, value)
                    case Field.origin: set(&self.origin, value)
                    case Field.sequence: set(&self.sequence, value)
                    case Field.until: set(&self.until, value)
                    default: true
                    }
                guard isFirst else { return nil }
            }
        }
    }

    private static func change(_ values: Values) -> StateChange? {
        guard let user = values.user.flatMap({ Identifier($0) }),
            let time = values.time.flatMap({ Int64(String(decoding: $0, as: UTF8.self)) })
        else { return nil }
        let item = values.item.flatMap { Identifier($0) }
        let weight = values.weight.flatMap { Double(String(decoding: $0, as: UTF8.self)) }.map {
            $0.isNaN ? .infinity : $0
        }
        switch (values.kind, item, weight) {
        case (Kind.event, let item?, let weight?):
            return .event(user: user, item: item, weight: weight, time: time)
        case (Kind.stamped, let item?, let weight?):
            return .stampedEvent(user: user, item: item, weight: weight, time: time)
        case (Kind.remove, let item?, _): return .remove(user: user, item: item, time: time)
        case (Kind.forget, _, _): return .forget(user: user, hash: UserHash.of(user.bytes), time: time)
        default: return nil
        }
    }

    private static func origin(_ digits: [UInt8]) -> EntryKey.Origin? {
        guard digits.count == 32, digits.allSatisfy({ $0 != UInt8(ascii: "+") }),
            let high = UInt64(String(decoding: digits[..<16], as: UTF8.self), radix: 16),
            let low = UInt64(String(decoding: digits[16...], as: UTF8.self), radix: 16)
        else { return nil }
        return EntryKey.Origin(high: high, low: low)
    }
}
