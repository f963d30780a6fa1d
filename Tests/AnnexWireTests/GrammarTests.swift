import AnnexCore
import AnnexWire
import NIOCore
import Testing

/// Runs `body` and gives the error reply that it would send, or nil where it accepted.
private func refusal(_ body: () throws(ArgumentFailure) -> Void) -> String? {
    do throws(ArgumentFailure) {
        try body()
        return nil
    } catch { return "\(error.code) \(error.message)" }
}

private let int64Ends = ["9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551616"]

@Suite struct UserGrammarTests {
    private func topk(_ line: String) -> String? {
        let words = request(line.split(separator: " ").map(String.init))
        return refusal { () throws(ArgumentFailure) in _ = try TopKArguments(words) }
    }

    private func mtopk(_ line: String) -> String? {
        let words = request(line.split(separator: " ").map(String.init))
        return refusal { () throws(ArgumentFailure) in _ = try MTopKArguments(words) }
    }

    private func score(_ line: String) -> String? {
        let words = request(line.split(separator: " ").map(String.init))
        return refusal { () throws(ArgumentFailure) in _ = try ScoreArguments(words) }
    }

    @Test func optionsInAnyOrderAndCase() throws {
        let plain = try TopKArguments(request("TOPK", "u", "10"))
        #expect(plain.user == 1 && plain.k == 10 && plain.options.index == nil && plain.options.effort == nil)
        #expect(plain.options.exclude.isEmpty && !plain.options.withScores && !plain.options.withAttributes)
        let full = try TopKArguments(
            request(
                "topk",
                "u",
                "10",
                "withscores",
                "EXCLUDE",
                "2",
                "INDEX",
                "EF",
                "ef",
                "65536",
                "Index",
                "movies",
                "WITHATTRIBS"
            )
        )
        #expect(full.options.exclude == 6..<8 && full.options.effort == .efSearch(65_536) && full.options.index == 11)
        #expect(full.options.withScores && full.options.withAttributes)
        #expect(try TopKArguments(request("TOPK", "u", "1", "NPROBE", "16")).options.effort == .nprobe(16))
        #expect(try TopKArguments(request("TOPK", "u", "1", "TRUTH")).options.effort == .exact)
        #expect(try TopKArguments(request("TOPK", "u", "1", "EXCLUDE", "0", "TRUTH")).options.exclude.isEmpty)
    }

    @Test func k() {
        #expect(self.topk("TOPK u 1") == nil && self.topk("TOPK u 10000") == nil)
        for k in ["0", "-1", "10001", "2147483648", "x", "1.0", "+1", "1e1", "0x1", "--1", "٣", "01"] + int64Ends {
            #expect(self.topk("TOPK u \(k)") == "ERR invalid k '\(k)': give an integer from 1 to 10000")
            #expect(self.mtopk("MTOPK 1 u \(k)") == "ERR invalid k '\(k)': give an integer from 1 to 10000")
        }
        let hidden = request("TOPK", "u", "1\0\r\n")
        let text = refusal { () throws(ArgumentFailure) in _ = try TopKArguments(hidden) }
        #expect(text == "ERR invalid k '1\\x00\\x0d\\x0a': give an integer from 1 to 10000")
    }

    @Test(arguments: [
        ("x", "x"), ("WITHSEEN WITHSEEN", "WITHSEEN"), ("FILTER f", "FILTER"), ("WEIGHTS 1", "WEIGHTS"),
        ("HISTORY", "HISTORY"), ("HISTORY 1 a HISTORY 1 b", "HISTORY"), ("HISTORY 1 a b", "b"),
        ("HISTORY 1 a WEIGHTS 1 WEIGHTS 1", "WEIGHTS"), ("TRUTH x", "x"),
        ("INDEX", "INDEX"), ("EF", "EF"), ("NPROBE", "NPROBE"), ("EXCLUDE", "EXCLUDE"), ("INDEX a INDEX b", "INDEX"),
        ("EF 1 EF 2", "EF"), ("EF 1 TRUTH", "TRUTH"), ("TRUTH TRUTH", "TRUTH"), ("NPROBE 1 EF 1", "EF"),
        ("TRUTH NPROBE 1", "NPROBE"),
        ("WITHSCORES WITHSCORES", "WITHSCORES"), ("WITHATTRIBS WITHATTRIBS", "WITHATTRIBS"),
        ("EXCLUDE 0 EXCLUDE 0", "EXCLUDE"),
        ("EXCLUDE 1 a b", "b"),
    ])
    func syntaxErrors(options: String, word: String) {
        #expect(self.topk("TOPK u 10 \(options)") == "ERR syntax error near '\(word)'")
        #expect(self.mtopk("MTOPK 2 u v 10 \(options)") == "ERR syntax error near '\(word)'")
    }

    @Test func histories() throws {
        let full = try TopKArguments(
            request("TOPK", "u", "5", "history", "2", "WEIGHTS", "b", "WEIGHTS", "1", "-2.5", "WITHSEEN")
        )
        #expect(full.options.history == 5..<7 && full.options.weights == 8..<10 && full.options.withSeen)
        #expect(try TopKArguments(request("TOPK", "u", "5", "HISTORY", "0")).options.history?.isEmpty == true)
        #expect(try TopKArguments(request("TOPK", "u", "5", "HISTORY", "1", "a", "TRUTH")).options.weights == nil)
        for weight in ["nan", "inf", "-inf", "1.1e30", "x", "+1", "0x1p3"] {
            #expect(
                self.topk("TOPK u 5 HISTORY 1 a WEIGHTS \(weight)")
                    == "ERR invalid weight '\(weight)': give a number from -1e30 to 1e30"
            )
        }
        #expect(
            self.topk("TOPK u 5 HISTORY 2 a b WEIGHTS 1")
                == "ERR WEIGHTS needs 2 numbers, as many as HISTORY has items"
        )
        for count in ["-1", "4", "x"] + int64Ends {
            #expect(
                self.topk("TOPK u 5 HISTORY \(count) a b")?.hasPrefix("ERR invalid number of items '\(count)'") == true
            )
        }
    }

    @Test func effortAndExclusionAtTheirLimits() {
        for word in ["EF", "NPROBE"] {
            #expect(self.topk("TOPK u 1 \(word) 1") == nil && self.topk("TOPK u 1 \(word) 65536") == nil)
            for value in ["0", "-1", "65537", "x"] + int64Ends {
                #expect(
                    self.topk("TOPK u 1 \(word) \(value)")
                        == "ERR invalid \(word) '\(value)': give an integer from 1 to 65536"
                )
            }
        }
        #expect(self.topk("TOPK u 1 EXCLUDE 2 a b") == nil)
        for value in ["-1", "3", "x", "2147483648"] + int64Ends {
            #expect(
                self.topk("TOPK u 1 EXCLUDE \(value) a b")?.hasPrefix("ERR invalid number of items '\(value)'") == true
            )
        }
    }

    @Test func batches() throws {
        let batch = try MTopKArguments(request("MTOPK", "2", "TRUTH", "EF", "5", "TRUTH"))
        #expect(batch.users == 2..<4 && batch.k == 5 && batch.options.effort == .exact)
        for count in ["0", "-1", "2", "100001", "x"] + int64Ends {
            #expect(self.mtopk("MTOPK \(count) u 5")?.hasPrefix("ERR invalid number of users '\(count)'") == true)
        }
        let hundred = (0..<100).map { "u\($0)" }.joined(separator: " ")
        #expect(self.mtopk("MTOPK 100 \(hundred) 1000") == nil)
        #expect(
            self.mtopk("MTOPK 100 \(hundred) 1001") == "ERR 100 users × 1001 results are more than 100000: ask in parts"
        )
        #expect(self.mtopk("MTOPK 10 a b c d e f g h i j 10000") == nil)
        #expect(self.mtopk("MTOPK 11 a b c d e f g h i j k 10000")?.hasSuffix("ask in parts") == true)
    }

    @Test func scores() throws {
        let plain = try ScoreArguments(request("SCORE", "u", "2", "a", "INDEX"))
        #expect(plain.items == 3..<5 && plain.index == nil)
        let named = try ScoreArguments(request("SCORE", "u", "2", "a", "b", "index", "movies"))
        #expect(named.items == 3..<5 && named.index == 6)
        for count in ["0", "-1", "2", "x"] + int64Ends {
            #expect(self.score("SCORE u \(count) a")?.hasPrefix("ERR invalid number of items '\(count)'") == true)
        }
        #expect(self.score("SCORE u 1 a INDEX") == "ERR syntax error near 'INDEX'")
        #expect(self.score("SCORE u 1 a b") == "ERR syntax error near 'b'")
        #expect(self.score("SCORE u 1 a INDEX m TRUTH") == "ERR syntax error near 'TRUTH'")
    }
}

@Suite struct VectorSetGrammarTests {
    private func vsim(_ line: String) -> String? {
        let words = request(line.split(separator: " ").map(String.init))
        return refusal { () throws(ArgumentFailure) in _ = try VSimArguments(words) }
    }

    @Test func queries() throws {
        let element = try VSimArguments(request("VSIM", "k", "ELE", "COUNT"))
        #expect(element.query == .element(3) && element.count == 10 && element.effort == nil && element.epsilon == nil)
        let values = try VSimArguments(request("VSIM", "k", "values", "3", "1", "-2.5", "1e-3", "COUNT", "7"))
        #expect(values.query == .values(4..<7) && values.count == 7)
        let words = request("VSIM", "k", "VALUES", "8", "1", "-2.5e0", "nan", "inf", "1e39", "", "1_0", "+1")
        let vector = try VSimArguments(words).query
        let components = (0..<vector.componentCount).map { vector.component($0, in: words) }
        #expect(components == [1, -2.5, nil, nil, nil, nil, nil, nil])
    }

    @Test func blobs() throws {
        let floats: [Float] = [1, -2.5, .infinity, .leastNonzeroMagnitude]
        let blob = floats.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } }
        // A first word of odd length, so that the floats lie at an odd address.
        let words = Request([Array("VSIM".utf8), Array("k".utf8), Array("FP32".utf8), blob])
        let query = try VSimArguments(words).query
        #expect(query == .blob(3, count: 4))
        #expect((0..<4).map { query.component($0, in: words) } == floats)
        for length in [0, 1, 3, 5, 95, 97, 4 * 4_096 + 4] {
            let bad = Request([
                Array("VSIM".utf8), Array("k".utf8), Array("FP32".utf8), [UInt8](repeating: 0, count: length),
            ])
            let text = refusal { () throws(ArgumentFailure) in _ = try VSimArguments(bad) }
            #expect(text == "BADVECTOR invalid vector specification: \(length) bytes are not 1 to 4096 float32s")
        }
        let largest = Request([
            Array("VSIM".utf8), Array("k".utf8), Array("FP32".utf8), [UInt8](repeating: 0, count: 4 * 4_096),
        ])
        #expect(try VSimArguments(largest).query == .blob(3, count: 4_096))
    }

    @Test func countsOfValues() {
        let four = (0..<4_096).map { _ in "1" }.joined(separator: " ")
        #expect(self.vsim("VSIM k VALUES 4096 \(four)") == nil)
        #expect(self.vsim("VSIM k VALUES 4097 \(four) 1") == "ERR invalid vector specification")
        for count in ["0", "-1", "2", "x", "2147483648"] + int64Ends {
            #expect(self.vsim("VSIM k VALUES \(count) 1") == "ERR invalid vector specification")
        }
    }

    @Test func options() throws {
        let all = try VSimArguments(
            request(
                "VSIM",
                "k",
                "ELE",
                "e",
                "TRUTH",
                "WITHATTRIBS",
                "EF",
                "9",
                "EPSILON",
                "0.25",
                "COUNT",
                "1",
                "count",
                "2",
                "WITHSCORES"
            )
        )
        #expect(all.effort == .exact && all.withScores && all.withAttributes && all.epsilon == 0.25)
        #expect(all.count == 2, "the last one counts")
        #expect(try VSimArguments(request("VSIM", "k", "ELE", "e", "EF", "9")).effort == .efSearch(9))
    }

    @Test func textsOfRedis() {
        for value in ["0", "-1", "10001", "x", "1.5"] + int64Ends {
            #expect(self.vsim("VSIM k ELE e COUNT \(value)") == "ERR invalid COUNT")
        }
        #expect(self.vsim("VSIM k ELE e COUNT 10000 EF 65536") == nil)
        for value in ["0", "-1", "65537", "x"] + int64Ends {
            #expect(self.vsim("VSIM k ELE e EF \(value)") == "ERR invalid EF")
        }
        for value in ["0", "-1", "nan", "inf", "x", "1e400", "+1"] {
            #expect(self.vsim("VSIM k ELE e EPSILON \(value)") == "ERR invalid EPSILON")
        }
        for (options, word) in [
            ("FANCY", "FANCY"), ("COUNT", "COUNT"), ("EF", "EF"), ("EPSILON", "EPSILON"), ("FILTER .a", "FILTER"),
            ("NOTHREAD", "NOTHREAD"),
            ("FILTER-EF 5", "FILTER-EF"), ("TRUTH x", "x"),
        ] { #expect(self.vsim("VSIM k ELE e \(options)") == "ERR syntax error near '\(word)'") }
        #expect(self.vsim("VSIM k FANCY e") == "ERR syntax error near 'FANCY'")
    }

    @Test func elementsAndRandomMembers() throws {
        #expect(try ElementArguments.vemb(request("VEMB", "k", "e")).flag == false)
        #expect(try ElementArguments.vemb(request("VEMB", "k", "e", "raw")).flag)
        #expect(try ElementArguments.vlinks(request("VLINKS", "k", "e", "WITHSCORES")).flag)
        let extra = request("VEMB", "k", "e", "RAW", "RAW")
        #expect(
            refusal { () throws(ArgumentFailure) in _ = try ElementArguments.vemb(extra) }
                == "ERR syntax error near 'RAW'"
        )
        func random(_ words: String...) -> String? {
            let made = request(["VRANDMEMBER", "k"] + words)
            return refusal { () throws(ArgumentFailure) in _ = try VRandMemberArguments(made) }
        }
        #expect(try VRandMemberArguments(request("VRANDMEMBER", "k")).count == nil)
        #expect(try VRandMemberArguments(request("VRANDMEMBER", "k", "-10000")).count == -10_000)
        #expect(random("10000") == nil && random("0") == nil)
        for value in ["x", "", "1.5", "9223372036854775808"] {
            #expect(random(value) == "ERR COUNT value is not an integer")
        }
        for value in ["10001", "-10001", "9223372036854775807", "-9223372036854775808"] {
            #expect(random(value) == "ERR COUNT value is out of range: give -10000 to 10000")
        }
    }

    @Test func keyspace() throws {
        #expect(ReloadArguments(request("RELOAD", "m")).version == nil)
        #expect(ReloadArguments(request("RELOAD", "m", "v")).version == 2)
        let whole = try ScanArguments(request("SCAN", "0", "MATCH", "a*", "COUNT", "10", "TYPE", "vectorset"))
        #expect(whole.cursor == 0 && whole.pattern == 3 && whole.type == 7)
        func scan(_ words: String...) -> String? {
            let made = request(["SCAN"] + words)
            return refusal { () throws(ArgumentFailure) in _ = try ScanArguments(made) }
        }
        for value in ["-1", "x"] { #expect(scan(value) == "ERR invalid cursor") }
        #expect(
            scan("0", "COUNT", "0") == "ERR syntax error near '0'"
                && scan("0", "MATCH") == "ERR syntax error near 'MATCH'"
        )
        #expect(
            scan("0", "COUNT", "x") == "ERR value is not an integer or out of range"
                && scan("0", "x", "y") == "ERR syntax error near 'x'"
        )
        #expect(throws: Never.self) { try MemoryUsageArguments(request("MEMORY", "USAGE", "k", "SAMPLES", "5")) }
        #expect(throws: ArgumentFailure.self) { try MemoryUsageArguments(request("MEMORY", "USAGE", "k", "SAMPLES")) }
    }
}

@Suite struct StrictNumberTests {
    @Test(
        arguments: [
            ("0", 0), ("-1", -1), ("10", 10), ("9223372036854775807", Int.max), ("-9223372036854775808", Int.min),
        ] as [(String, Int)]
    )
    func integers(text: String, value: Int) { #expect(request(text).integer(0) == value) }

    @Test(arguments: [
        "", "-", "+1", "01", "-0", "00", " 1", "1 ", "1.0", "1e1", "0x1", "1_0", "٣", "1\0", "9223372036854775808",
        "-9223372036854775809", "99999999999999999999", "NaN",
    ])
    func notIntegers(text: String) { #expect(request(text).integer(0) == nil) }

    @Test(arguments: [
        ("0", 0), ("-0.5", -0.5), ("1e-3", 0.001), ("1E+2", 100), (".5", 0.5),
        ("3.4028235e38", Float.greatestFiniteMagnitude),
    ])
    func floats(text: String, value: Float) { #expect(request(text).float(0) == value) }

    @Test(arguments: [
        "", "nan", "inf", "-inf", "infinity", "1e39", "0x1p3", "+1", " 1", "1 ", "1,5", "--1", "e", ".", "1e", "1\0",
        String(repeating: "1", count: 65),
    ])
    func notFloats(text: String) {
        #expect(request(text).float(0) == nil)
        if text != "1e39" { #expect(request(text).double(0) == nil) }
    }

    @Test func identifiersAreBytes() {
        #expect(request("é").identifier(0)?.bytes == [0xc3, 0xa9])
        #expect(request("").identifier(0) == nil && Request([[0xff]]).identifier(0) == nil)
        #expect(
            request(String(repeating: "x", count: 255)).identifier(0) != nil
                && request(String(repeating: "x", count: 256)).identifier(0) == nil
        )
    }
}
