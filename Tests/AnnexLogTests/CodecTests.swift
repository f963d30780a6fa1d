import AnnexCore
import AnnexEngine
import AnnexLog
import AnnexStore
import AnnexTestSupport
import AnnexWire
import Testing

@Suite struct CodecTests {
    private static let seed: UInt64 = 20_261_125

    private func values(_ fields: [[UInt8]]) -> [ReplyValue] { fields.map { .bulk($0) } }

    /// What is written is read back, whatever the ids, weights and times.
    @Test func changesSurvive() throws {
        var random = SeededRandom(seed: Self.seed)
        let codec = EntryCodec(slots: .all)
        for number in 0..<4_000 {
            let user = try #require(Identifier(String(repeating: "ü", count: 1 + random.below(120)) + "{\(number)}"))
            let item = try #require(Identifier("i\u{0}\r\n \(random.below(100))"))
            let weights = [0.0, -0.0, 1e-308, Limits.maximumWeight, -1.5, 0.1, Double(bitPattern: random.next())]
            let weight = weights[random.below(weights.count)]
            // As clients may give them.
            let time = Int64(random.below(Int(EventTime.end)))
            if EventTime.problem(time) != nil { continue }
            let hash = UserHash.of(user.bytes)
            let changes: [StateChange] = [
                .event(user: user, item: item, weight: weight, time: time),
                .stampedEvent(user: user, item: item, weight: weight, time: time),
                .remove(user: user, item: item, time: time), .forget(user: user, hash: hash, time: time),
            ]
            let change = changes[random.below(4)]
            let key = EntryKey(origin: .init(high: random.next(), low: random.next()), sequence: random.next())
            let block = EntryCodec.block(of: change)
            #expect(block == Slot.block(of: Slot.of(user.bytes)))
            let until = random.below(2) == 0 ? Int64(bitPattern: random.next()) : nil
            let fields = EntryCodec.fields(of: LogEntry(key: key, block: block, change: change, until: until))
            let decoded = codec.decode(self.values(fields), block: block)
            if !(abs(weight) <= Limits.maximumWeight), case .outsideLimits = decoded { continue }
            guard case .entry(let entry) = decoded else {
                Issue.record("seed \(Self.seed), \(change): \(decoded)")
                continue
            }
            #expect(entry.key == key && entry.block == block && "\(entry.change)" == "\(change)")
            #expect(entry.until == until)
        }
    }

    /// Several changes of one slot are one entry; without any one of its fields it is none.
    @Test func severalChangesInOneEntry() throws {
        let codec = EntryCodec(slots: .all)
        let users = try ["{7}a", "{7}b"].map { try #require(Identifier($0)) }
        let item = try #require(Identifier("i1"))
        let changes: [StateChange] = [
            .event(user: users[0], item: item, weight: 1.5, time: 4),
            .stampedEvent(user: users[1], item: item, weight: -2, time: 5),
            .remove(user: users[0], item: item, time: 6),
            .forget(user: users[1], hash: UserHash.of(users[1].bytes), time: 7),
        ]
        let block = Slot.block(of: Slot.of(users[0].bytes))
        let key = EntryKey(origin: .init(high: 1, low: 2), sequence: 9)
        for count in 2...4 {
            let change = StateChange(together: Array(changes.prefix(count)))
            let fields = EntryCodec.fields(of: LogEntry(key: key, block: block, change: change))
            guard case .entry(let entry) = codec.decode(self.values(fields), block: block) else {
                Issue.record("\(count) changes are no entry")
                continue
            }
            #expect(entry.key == key && "\(entry.change)" == "\(change)")
            for index in stride(from: 0, to: fields.count, by: 2) {
                let cut = Array(fields[..<index] + fields[(index + 2)...])
                if case .entry = codec.decode(self.values(cut), block: block) {
                    Issue.record("\(count) changes without field \(index)")
                }
            }
        }
        let other = StateChange.remove(user: item, item: item, time: 1)
        let mixed = EntryCodec.fields(
            of: LogEntry(key: key, block: block, change: .together([other, changes[0]]))
        )
        guard case .unknown = codec.decode(self.values(mixed), block: block) else {
            Issue.record("changes of two slots are one entry")
            return
        }
    }

    /// An entry of a program that knew no `until`; one whose `until` is no number; where an entry is too late.
    @Test func until() throws {
        func decoded(_ until: [String]) -> EntryCodec.Decoded {
            let words =
                ["do", "forget", "user", "u1", "at", "5", "by", String(repeating: "a", count: 32), "n", "7"] + until
            let block = Slot.block(of: Slot.of(Array("u1".utf8)))
            return EntryCodec(slots: .all).decode(words.map { .bulk(Array($0.utf8)) }, block: block)
        }
        guard case .entry(let old) = decoded([]), case .entry(let new) = decoded(["until", "1700000000000"]) else {
            Issue.record("not read")
            return
        }
        #expect(old.until == nil && new.until == 1_700_000_000_000)
        for word in ["", "x", "1.5", "9223372036854775808"] {
            guard case .unknown = decoded(["until", word]) else {
                Issue.record("until \(word) was read")
                continue
            }
        }
        func position(_ milliseconds: UInt64) -> LogPosition { LogPosition(milliseconds: milliseconds, sequence: 9) }
        #expect(!position(.max).isBehind(nil) && !position(5).isBehind(5) && position(6).isBehind(5))
        #expect(position(0).isBehind(-1) && position(0).isBehind(.min) && !position(UInt64(Int64.max)).isBehind(.max))
    }

    /// What no client could have stored, at the limit and beyond: for each field.
    @Test(arguments: [
        ("1", "5", true), ("1e30", "5", true), ("-1e30", "5", true), ("1.0000000000000002e30", "5", false),
        ("1e308", "5", false), ("1e309", "5", false), ("inf", "5", false), ("-inf", "5", false), ("nan", "5", false),
        ("1", "4102444799999", true), ("1", "4102444800000", false), ("1", "-1", false), ("1", "0", true),
        ("1", "1700000000", false), ("1", "1700000000000000", false), ("1", "9223372036854775807", false),
    ]) func limits(_ weight: String, _ time: String, _ isFine: Bool) {
        let block = Slot.block(of: Slot.of(Array("u1".utf8)))
        for kind in ["event", "stamped"] {
            let words =
                ["do", kind, "user", "u1", "item", "i", "weight", weight, "at", time]
                + ["by", String(repeating: "a", count: 32), "n", "7"]
            switch EntryCodec(slots: .all).decode(words.map { .bulk(Array($0.utf8)) }, block: block) {
            case .entry: #expect(isFine)
            case .outsideLimits: #expect(!isFine)
            case .foreign, .unknown: Issue.record("not read")
            }
        }
    }

    @Test func usersOfOthersAreForeign() throws {
        let user = try #require(Identifier("user-1"))
        let slot = Slot.of(user.bytes)
        let change = StateChange.remove(user: user, item: user, time: 1)
        let key = EntryKey(origin: .random(), sequence: 1)
        let fields = EntryCodec.fields(of: LogEntry(key: key, block: slot >> 10, change: change))
        for (slots, isOurs) in [
            (SlotSet([slot...slot]), true), (SlotSet([0...(slot - 1), (slot + 1)...16_383]), false),
        ] {
            switch EntryCodec(slots: slots).decode(self.values(fields), block: slot >> 10) {
            case .entry: #expect(isOurs)
            case .foreign: #expect(!isOurs)
            case .unknown, .outsideLimits: Issue.record("unknown")
            }
        }
    }

    @Test func noBytesAreTakenForAnEntryOrEndTheProcess() throws {
        var random = SeededRandom(seed: Self.seed)
        let codec = EntryCodec(slots: .all)
        let names = ["do", "change", "user", "item", "weight", "at", "by", "n", "x"]
        for _ in 0..<20_000 {
            let fields: [ReplyValue] = (0..<random.below(17)).map { index in
                switch random.below(8) {
                case 0: .null
                case 1: .integer(Int64(bitPattern: random.next()))
                case 2: .array([])
                default:
                    index % 2 == 0
                        ? .bulk(Array(names[random.below(names.count)].utf8))
                        : .bulk((0..<random.below(40)).map { _ in UInt8(truncatingIfNeeded: random.next()) })
                }
            }
            if case .entry = codec.decode(fields, block: random.below(16)) { Issue.record("\(fields)") }
        }
    }
}

@Suite struct LogAddressTests {
    @Test func addresses() throws {
        let full = try LogAddress(parsing: "redis://me:a%40b%3A@[::1]:7000/12")
        #expect(
            full.host == "::1" && full.port == 7_000 && full.user == "me" && full.password == "a@b:"
                && full.database == 12
        )
        #expect("\(full)" == "redis://[::1]:7000/12" && full.prefix == "annex")
        let shared = try LogAddress(parsing: "redis://:p%3Fx@host:7000/3?prefix=shop-b.v2:x")
        #expect(shared.prefix == "shop-b.v2:x" && shared.database == 3 && shared.password == "p?x")
        #expect("\(shared)" == "redis://host:7000/3?prefix=shop-b.v2:x")
        #expect(try LogAddress(parsing: "redis://host/?prefix=a").prefix == "a")
        #expect(try LogAddress(parsing: "redis://host?prefix=a").host == "host")
        #expect(try LogAddress(parsing: "redis://host").with(password: "s").password == "s")
        #expect(throws: AnnexError.self) { try full.with(password: "s") }
        let short = try LogAddress(parsing: "redis://host")
        #expect(short.host == "host" && short.port == 6_379 && short.password == nil && short.database == 0)
        #expect(try LogAddress(parsing: "redis://:p@h:1/").password == "p")
    }

    @Test(arguments: [
        "", "redis:", "redis://", "redis://:1", "redis://h:0", "redis://h:65536", "redis://h:+1", "redis://p@h",
        "redis://:@h",
        "redis://:%zz@h", "redis://:%f@h", "redis://:%ff@h", "redis://h/a", "redis://h/-1", "redis://h/123456",
        "redis://h/?", "redis://h/?prefix=", "redis://h/?prefix={a}", "redis://h/?prefix=a b", "redis://h/?database=1",
        "redis://h/?prefix=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "rediss://h", "http://h",
    ]) func whatIsNone(_ text: String) {
        #expect(throws: AnnexError.self) { try LogAddress(parsing: text) }
    }
}
