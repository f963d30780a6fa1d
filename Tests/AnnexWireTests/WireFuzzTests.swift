import AnnexCore
import AnnexTestSupport
import AnnexWire
import NIOCore
import Testing

/// Random and mutated bytes through parser, table, grammar and writer. `ANNEX_FUZZ_FRAMES` makes it longer,
/// `ANNEX_FUZZ_SEED` repeats a run.
@Suite struct WireFuzzTests {
    private static let tokens = [
        "\r\n", "*", "$", "-1", "0", "*0\r\n", "*-1\r\n", "9223372036854775807", "-9223372036854775808", "$0\r\n\r\n",
        "\0",
        "\"", "'", "\\x", " ", "\n", "nan", "inf", "1e39", "$1048577\r\n", "*65537\r\n", "\u{1b}[31m", "é",
    ]
    private static let vocabulary = [
        "TOPK", "MTOPK", "SCORE", "VSIM", "VEMB", "VLINKS", "VRANDMEMBER", "RELOAD", "SCAN", "MEMORY", "USAGE",
        "COMMAND",
        "CLIENT", "CONFIG", "HELP", "INFO", "GETKEYS", "GETKEYSANDFLAGS", "COUNT", "PING", "u1", "i1", "1", "2", "3",
        "10",
        "10000", "10001", "0", "-1", "65536", "65537", "100001", "9223372036854775807", "INDEX", "EF", "NPROBE",
        "TRUTH",
        "EXCLUDE", "WITHSCORES", "WITHATTRIBS", "ELE", "FP32", "VALUES", "EPSILON", "0.5", "nan", "1e39", "RAW",
        "MATCH",
        "SAMPLES", "topk", "EVENT", "EVENT.DEL", "FORGET", "ATOMIC", "SEEN", "EXPLAIN", "WHYNOT", "WAITPOS", "HELLO",
        "KILL",
        "AT", "HISTORY", "WEIGHTS", "WITHSEEN", "WITHTIMES", "TIMEOUT", "KAPPA", "AUTH", "SETNAME", "ID", "SKIPME",
        "YES", "\r\n", "\0\u{7f}\u{85}", "", "client|kill", "\u{7}",
    ]

    @Test func mutatedFramesKeepTheInvariants() throws {
        let seed = UInt64(setting("ANNEX_FUZZ_SEED", 20_261))
        let frames = setting("ANNEX_FUZZ_FRAMES", 200_000)
        var samples = WireSamples(seed: seed)
        var sent = 0
        var answered = 0
        var refused = 0
        while sent < frames {
            var bytes: [UInt8] = []
            for _ in 0..<8 {
                bytes += Self.frame(&samples)
                sent += 1
            }
            let authenticated = sent % 3 != 0
            let outcome = Self.check(bytes, &samples, authenticated: authenticated)
            guard let stream = outcome.stream else {
                Issue.record("\(outcome.problem), seed \(seed), frame \(sent), bytes \(bytes)")
                return
            }
            refused += stream.failure == nil ? 0 : 1
            for words in stream.requests {
                answered += 1
                if let problem = Self.answer(words, sent) {
                    Issue.record("\(problem), seed \(seed), frame \(sent), words \(words)")
                    return
                }
            }
        }
        #expect(answered > frames / 8 && refused > frames / 200)
        print("wire fuzz: seed \(seed), \(sent) frames, \(answered) requests answered, \(refused) streams refused")
    }

    /// A frame of known words, a random one, or noise; often damaged.
    private static func frame(_ samples: inout WireSamples) -> [UInt8] {
        var bytes: [UInt8]
        switch Int.random(in: 0..<10, using: &samples.generator) {
        case 0: bytes = samples.frame().bytes
        case 1: bytes = (0..<Int.random(in: 0..<40, using: &samples.generator)).map { _ in samples.byte() } + [0x0a]
        case let kind:
            let words = (0..<Int.random(in: 1..<9, using: &samples.generator)).map { _ in
                Array((Self.vocabulary.randomElement(using: &samples.generator) ?? "").utf8)
            }
            bytes =
                kind < 4
                ? Array(words.map(WireSamples.quoted).joined(separator: [0x20])) + [0x0d, 0x0a]
                : WireSamples.encode(words)
        }
        guard Int.random(in: 0..<4, using: &samples.generator) == 0 else { return bytes }
        for _ in 0..<Int.random(in: 1..<4, using: &samples.generator) { Self.damage(&bytes, &samples) }
        return bytes
    }

    private static func damage(_ bytes: inout [UInt8], _ samples: inout WireSamples) {
        let at = Int.random(in: 0...bytes.count, using: &samples.generator)
        switch Int.random(in: 0..<5, using: &samples.generator) {
        case 0 where at < bytes.count: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &samples.generator)
        case 1: bytes.insert(contentsOf: (Self.tokens.randomElement(using: &samples.generator) ?? "").utf8, at: at)
        case 2: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1..<8, using: &samples.generator)))
        case 3: bytes.insert(contentsOf: bytes.prefix(Int.random(in: 0..<40, using: &samples.generator)), at: at)
        case _ where at < bytes.count: bytes[at] = samples.byte()
        default: break
        }
    }

    /// Whole and in pieces gives the same; every byte is looked at once; arguments come out of the bytes sent.
    private static func check(
        _ bytes: [UInt8],
        _ samples: inout WireSamples,
        authenticated: Bool
    ) -> (stream: ParsedStream?, problem: String) {
        var whole = RequestParser(authenticated: authenticated)
        let first = parse([bytes[...]], with: &whole)
        var cut = RequestParser(authenticated: authenticated)
        let second = parse(samples.pieces(of: bytes, longest: 9), with: &cut, compact: true)
        guard first.requests == second.requests, first.failure == second.failure else {
            return (nil, "whole and in pieces differ: \(first) and \(second)")
        }
        guard first.failure != nil || first.left == second.left else { return (nil, "bytes left differ") }
        guard whole.examinedBytes <= bytes.count, cut.examinedBytes <= bytes.count else {
            return (nil, "a byte was looked at twice")
        }
        guard first.requests.allSatisfy({ !$0.isEmpty }) else { return (nil, "a request without words") }
        let taken = first.requests.reduce(0) { $0 + $1.reduce(0) { $0 + $1.count } }
        guard taken <= bytes.count else { return (nil, "more argument bytes than were sent") }
        return (first, "")
    }

    /// One legal reply of the protocol spoken, and no control byte of the client's in an error. Nil where all is well.
    private static func answer(_ words: [[UInt8]], _ turn: Int) -> String? {
        let request = Request(words)
        let version = turn % 16 < 8 ? RESPVersion.two : .three
        do {
            guard let value = try reply(version, { Self.dispatch(request, &$0) }) else {
                return "not exactly one reply"
            }
            if version == .two, !value.isRESP2 { return "a RESP3 type in RESP2: \(value)" }
            if case .error(let text) = value {
                guard text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) }) else {
                    return "control bytes in '\(text)'"
                }
                guard text.utf8.count < 1_000 else { return "a long error" }
            }
            return nil
        } catch { return "no legal reply: \(error)" }
    }

    /// What connection and handler do with the table and the grammar.
    private static func dispatch(_ request: Request, _ reply: inout ReplyWriter) {
        let table = CommandTable.standard
        switch table.lookup(request) {
        case .refused(let failure, _): reply.error(failure)
        case .command(let found, _, let id):
            if found.id == .connection(.command) {
                // The whole table is long; once in a while is enough.
                return request.count == 1 ? reply.integer(0) : table.answer(request, &reply)
            }
            do throws(ArgumentFailure) {
                try Self.parseArguments(id, of: found, request)
                reply.simpleString("OK")
            } catch {
                reply.error(error)
            }
        }
    }

    private static func parseArguments(
        _ id: CommandID,
        of found: CommandSpecification,
        _ request: Request
    ) throws(ArgumentFailure) {
        switch id {
        case .help: break
        case .container: throw .unknownSubcommand(of: found.name, request)
        case .connection(.hello): _ = try HelloArguments(request)
        case .connection(.clientKill): _ = try ClientKillArguments(request, own: 1)
        case .connection: break
        case .handler(let id): try Self.parseArguments(id, request)
        }
    }

    private static func parseArguments(_ id: HandlerCommand, _ request: Request) throws(ArgumentFailure) {
        var positions: [Range<Int>] = []
        switch id {
        case .topk: positions = Self.positions(try TopKArguments(request).options)
        case .mtopk:
            let arguments = try MTopKArguments(request)
            positions = Self.positions(arguments.options) + [arguments.users]
        case .score: positions = [try ScoreArguments(request).items]
        case .seen: _ = try SeenArguments(request)
        case .explain: _ = try ExplainArguments(request)
        case .whynot: positions = Self.positions(try WhyNotArguments(request).options)
        case .event: _ = try ChangeArguments(.event, request)
        case .eventDelete: _ = try ChangeArguments(.remove, request)
        case .forget: _ = try ChangeArguments(.forget, request)
        case .atomic: _ = try AtomicArguments(request)
        case .waitpos: _ = try WaitPositionArguments(request)
        case .vsim:
            let query = try VSimArguments(request).query
            for index in 0..<query.componentCount { _ = query.component(index, in: request) }
        case .vemb: _ = try ElementArguments.vemb(request)
        case .vlinks: _ = try ElementArguments.vlinks(request)
        case .vrandmember: _ = try VRandMemberArguments(request)
        case .reload: _ = ReloadArguments(request)
        case .scan: _ = try ScanArguments(request)
        case .memoryUsage: _ = try MemoryUsageArguments(request)
        case .vdim, .vcard, .vinfo, .vismember, .vgetattr, .indexes, .dbsize, .ready, .type, .exists: break
        }
        #expect(positions.allSatisfy { $0.upperBound <= request.count })
    }

    private static func positions(_ options: QueryOptions) -> [Range<Int>] {
        [options.exclude] + [options.history, options.weights].compactMap { $0 }
    }
}

extension ReplyValue {
    /// Whether every part is of a type that RESP2 has.
    var isRESP2: Bool {
        switch self {
        case .simple, .error, .integer, .bulk, .null: true
        case .array(let all): all.allSatisfy(\.isRESP2)
        case .set, .map, .push, .boolean, .double, .cut: false
        }
    }
}
