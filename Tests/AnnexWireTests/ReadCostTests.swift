import AnnexCore
import AnnexWire
import Testing

/// What a router takes for costly. The figures are guesses; which side of the limit of 5 ms they lie on is promised.
@Suite("Cost of a read")
struct ReadCostTests {
    static func cost(_ words: [String]) throws -> Int {
        let command = try #require(CommandTable.standard.specification(named: words[0].lowercased()))
        return command.cost.microseconds(Request(words.map { Array($0.utf8) }))
    }

    static func names(_ count: Int) -> [String] { (0..<count).map { "n\($0)" } }

    static let small: [[String]] = [
        ["TOPK", "u", "10"], ["TOPK", "u", "1000"], ["TOPK", "u", "10", "WITHSCORES", "WITHATTRIBS", "INDEX", "i"],
        ["TOPK", "u", "10", "EXCLUDE", "500"] + names(500), ["TOPK", "u", "10", "HISTORY", "50"] + names(50),
        ["MTOPK", "10"] + names(10) + ["10"], ["VSIM", "i", "ELE", "x"], ["VSIM", "i", "ELE", "x", "COUNT", "100"],
        ["SCORE", "u", "1000"] + names(1_000), ["SEEN", "u", "COUNT", "1000"], ["VRANDMEMBER", "i", "100"],
        ["VEMB", "i", "x"],
        ["VINFO", "i"], ["EXISTS", "i"], ["INDEXES"], ["DBSIZE"],
    ]
    static let heavy: [[String]] = [
        ["TOPK", "u", "10000"], ["TOPK", "u", "10", "TRUTH"], ["TOPK", "u", "10", "EF", "65536"],
        ["TOPK", "u", "10", "NPROBE", "4096"],
        ["TOPK", "u", "10", "KAPPA", "1"], ["TOPK", "u", "2000", "WITHATTRIBS"],
        ["TOPK", "u", "10", "EXCLUDE", "60000"] + names(60_000),
        ["TOPK", "u", "10", "HISTORY", "20000"] + names(20_000), ["MTOPK", "100"] + names(100) + ["10"],
        ["MTOPK", "3"] + names(3) + ["10000"], ["VSIM", "i", "ELE", "x", "COUNT", "10000"],
        ["VSIM", "i", "ELE", "x", "TRUTH"],
        ["SCORE", "u", "60000"] + names(60_000), ["SEEN", "u"], ["SEEN", "u", "WITHTIMES"], ["EXPLAIN", "u", "x"],
        ["WHYNOT", "u", "x", "5"],
        ["VRANDMEMBER", "i", "-10000"], ["EXISTS"] + names(60_000),
    ]
    /// What a shard refuses, or what overflows if it is not looked at.
    static let senseless: [[String]] = [
        ["TOPK", "u", "9223372036854775807"], ["TOPK", "u", "-1"], ["TOPK", "u", "x"], ["TOPK", "u", "5", "NONSENSE"],
        ["MTOPK", "9223372036854775807", "u", "9223372036854775807"], ["MTOPK", "1", "u", "10001"],
        ["VRANDMEMBER", "i", "-9223372036854775808"], ["VRANDMEMBER", "i", "9223372036854775807"],
        ["VRANDMEMBER", "i", "x"],
        ["SEEN", "u", "COUNT", "9223372036854775807"], ["VSIM", "i", "ELE", "x", "COUNT", "0"],
    ]

    @Test("what an application asks for all day is not heavy", arguments: small)
    func isSmall(_ words: [String]) throws { #expect(try Self.cost(words) <= 5_000, "\(words.prefix(8))") }

    @Test("what may take many milliseconds is", arguments: heavy)
    func isHeavy(_ words: [String]) throws { #expect(try Self.cost(words) > 5_000, "\(words.prefix(8))") }

    @Test("numbers at their limits do no harm", arguments: senseless)
    func isSenseless(_ words: [String]) throws { #expect(try (0...20_000).contains(Self.cost(words)), "\(words)") }

    @Test("of a part, its own users count")
    func part() throws {
        let words = ["MTOPK", "100"] + Self.names(100) + ["10"]
        let arguments = try MTopKArguments(Request(words.map { Array($0.utf8) }))
        #expect(try arguments.microseconds(users: 10) * 10 == Self.cost(words))
    }
}
