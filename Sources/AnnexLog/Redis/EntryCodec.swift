package import AnnexCore
import AnnexEngine
package import AnnexStore
package import AnnexWire

/// Changes as fields of entries, fit to be read by people: `do event user u7 item i3 weight 1.5 at 1700000000000 by … n 12`.
/// With `until` the entry counts only where its position is not later.
package struct EntryCodec {
    /// What is not for these is only passed over.
    let slots: SlotSet

    package init(slots: SlotSet) { self.slots = slots }

    package enum Decoded {
        case entry(LogEntry<StateChange>)
        /// Of users of another shard.
        case foreign
        /// None that this program wrote.
        case unknown
        /// What no client could have stored: a weight or a time beyond its limits. The same for all replicas, whatever version
        /// they serve.
        case outsideLimits
    }

    private enum Field {
        static let kind = Array("do".utf8)
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
    }

    package static func block(of change: StateChange) -> Int {
        switch change {
        case .event(let user, _, _, _), .stampedEvent(let user, _, _, _), .remove(let user, _, _),
            .forget(let user, _, _):
            Slot.block(of: Slot.of(user.bytes))
        }
    }

    package static func fields(of entry: LogEntry<StateChange>) -> [[UInt8]] {
        var fields: [[UInt8]]
        func text(_ number: some CustomStringConvertible) -> [UInt8] { Array(number.description.utf8) }
        switch entry.change {
        case .event(let user, let item, let weight, let time):
            fields = [Field.kind, Kind.event, Field.user, user.bytes, Field.item, item.bytes]
            fields += [Field.weight, text(weight), Field.time, text(time)]
        case .stampedEvent(let user, let item, let weight, let time):
            fields = [Field.kind, Kind.stamped, Field.user, user.bytes, Field.item, item.bytes]
            fields += [Field.weight, text(weight), Field.time, text(time)]
        case .remove(let user, let item, let time):
            fields = [Field.kind, Kind.remove, Field.user, user.bytes, Field.item, item.bytes, Field.time, text(time)]
        case .forget(let user, _, let time):
            fields = [Field.kind, Kind.forget, Field.user, user.bytes, Field.time, text(time)]
        }
        fields += [Field.origin, Self.text(entry.key.origin), Field.sequence, text(entry.key.sequence)]
        if let until = entry.until { fields += [Field.until, text(until)] }
        return fields
    }

    /// 32 hexadecimal digits.
    static func text(_ origin: EntryKey.Origin) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return [origin.high, origin.low].flatMap { half in
            stride(from: 60, through: 0, by: -4).map { digits[Int(truncatingIfNeeded: (half >> UInt64($0)) & 15)] }
        }
    }

    package func decode(_ fields: [ReplyValue], block: Int) -> Decoded {
        guard let values = Values(fields), let user = values.user.flatMap({ Identifier($0) }) else { return .unknown }
        let slot = Slot.of(user.bytes)
        guard Slot.block(of: slot) == block else { return .unknown }
        guard self.slots.contains(slot) else { return .foreign }
        let until = values.until.map { Int64(String(decoding: $0, as: UTF8.self)) }
        // One that cannot be read says that there is a limit, but not which.
        if case .some(.none) = until { return .unknown }
        guard let time = values.time.flatMap({ Int64(String(decoding: $0, as: UTF8.self)) }),
            let origin = values.origin.flatMap({ Self.origin($0) }),
            let sequence = values.sequence.flatMap({ UInt64(String(decoding: $0, as: UTF8.self)) }),
            let change = Self.change(values, user, time)
        else { return .unknown }
        guard Self.isWithinLimits(change, time) else { return .outsideLimits }
        let key = EntryKey(origin: origin, sequence: sequence)
        return .entry(LogEntry(key: key, block: block, change: change, until: until ?? nil))
    }

    private static func isWithinLimits(_ change: StateChange, _ time: Int64) -> Bool {
        guard EventTime.problem(time) == nil else { return false }
        switch change {
        case .event(_, _, let weight, _), .stampedEvent(_, _, let weight, _): return abs(weight) <= Limits.maximumWeight
        case .remove, .forget: return true
        }
    }

    /// The fields that are known by name; the last of several counts.
    private struct Values {
        var kind: [UInt8]?
        var user: [UInt8]?
        var item: [UInt8]?
        var weight: [UInt8]?
        var time: [UInt8]?
        var origin: [UInt8]?
        var sequence: [UInt8]?
        var until: [UInt8]?

        /// Nil where they are not pairs of bulks.
        init?(_ fields: [ReplyValue]) {
            guard fields.count % 2 == 0 else { return nil }
            for index in stride(from: 0, to: fields.count, by: 2) {
                guard case .bulk(let name) = fields[index], case .bulk(let value) = fields[index + 1] else {
                    return nil
                }
                switch name {
                case Field.kind: self.kind = value
                case Field.user: self.user = value
                case Field.item: self.item = value
                case Field.weight: self.weight = value
                case Field.time: self.time = value
                case Field.origin: self.origin = value
                case Field.sequence: self.sequence = value
                case Field.until: self.until = value
                default: break
                }
            }
        }
    }

    private static func change(_ values: Values, _ user: Identifier, _ time: Int64) -> StateChange? {
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
