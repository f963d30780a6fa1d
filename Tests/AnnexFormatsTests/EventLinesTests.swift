import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

/// Files of events, line by line.
@Suite struct EventLinesTests {
    private func lines(_ name: String, _ data: Data, format: EventLines.Format? = nil) throws -> [EventLines.Line] {
        let folder = try TemporaryFolder()
        let lines = try EventLines(try folder.write(name, data), format: format)
        var all: [EventLines.Line] = []
        while let line = try lines.next() { all.append(line) }
        #expect(try lines.fractionRead() == 1)
        return all
    }

    /// What a line says: an event as `user item weight time`, a reason, or nothing.
    private func said(_ name: String, _ text: String, format: EventLines.Format? = nil) throws -> [String] {
        try self.lines(name, Data(text.utf8), format: format).map { line in
            switch line.content {
            case .event(let entry):
                "\(entry.user) \(entry.item) \(entry.weight) \(entry.time.map(String.init) ?? "-")"
            case .problem(let reason): "! " + reason
            case .nothing: ""
            }
        }
    }

    @Test func everyLineComesOut() throws {
        let text = "user_id\titem_id\na\tx\n\n  \nb\n\"c\tx\nc\tx\t2.5\t7\r\nd\ty"
        let found = try self.said("e.tsv", text)
        #expect(found.count == 8)
        #expect(found[0] == "" && found[1] == "a x 1.0 -" && found[2] == "" && found[3] == "")
        #expect(found[4].contains("1 fields") && found[5].contains("quote"))
        #expect(found[6] == "c x 2.5 7" && found[7] == "d y 1.0 -")
        #expect(
            try self.lines("e.tsv", Data(text.utf8)).map { String(decoding: $0.text, as: UTF8.self) }[6]
                == "c\tx\t2.5\t7"
        )
        #expect(try self.lines("e.tsv", Data()).isEmpty)
    }

    @Test func aHeadingSaysWhereTheTimeIs() throws {
        #expect(try self.said("e.csv", "userId,movieId,timestamp\na,x,7")[1] == "a x 1.0 7")
        #expect(try self.said("e.csv", "userId,movieId,time,rating\na,x,7,2")[1] == "a x 2.0 7")
        #expect(try self.said("e.csv", "userId,movieId,rating,timestamp\na,x,2,7")[1] == "a x 2.0 7")
        #expect(try self.said("e.csv", "a,x,7")[0] == "a x 7.0 -")
        #expect(try self.said("e.csv", "a,x,1\nuserId,movieId,timestamp")[1].hasPrefix("! column 3"))
    }

    @Test func gzipIsToldByContent() throws {
        let packed = TestFiles.gzip(Data("a\tx\n".utf8))
        for name in ["e.tsv", "e.tsv.gz"] { #expect(try self.lines(name, packed).count == 1) }
        #expect(try self.said("e.tsv.gz", "a\tx\n") == ["a x 1.0 -"])
        #expect(throws: AnnexError.self) { try self.lines("e.tsv.gz", packed.dropLast(9)) }
    }

    @Test func theFormatIsNamedOrInTheEnding() throws {
        #expect(try self.said("e.log", "a,x", format: .csv) == ["a x 1.0 -"])
        #expect(try self.said("e.tsv", "a,x", format: .csv) == ["a x 1.0 -"])
        #expect(try self.said("E.NDJSON", #"{"user": "a", "item": "x"}"#) == ["a x 1.0 -"])
        let error = #expect(throws: AnnexError.self) { try self.said("e.log", "a,x") }
        #expect(error?.code == .usage && error?.hint?.contains("--format") == true)
    }

    @Test(
        arguments: [
            (#"{"user": "a", "item": 12, "weight": 2.5, "time": 1700000000000}"#, "a 12 2.5 1700000000000"),
            (#"{"time": 1.7e12, "item": "x\u0041", "user": 7.0, "more": [{}]}"#, "7 xA 1.0 1700000000000"),
            (#"{"user": "a", "item": "x", "weight": null, "time": null}"#, "a x 1.0 -"),
            (#"{"user": 9223372036854775808, "item": "x"}"#, "9223372036854775808 x 1.0 -"),
            (#"{"user": "a"}"#, "no 'item'"), (#"{"item": "a"}"#, "no 'user'"), ("[1]", "no JSON object"),
            (#"{"user": "a", "item": "x""#, "no JSON object"), (#"{"user": null, "item": "x"}"#, "'user' is neither"),
            (#"{"user": "", "item": "x"}"#, "empty"), (#"{"user": "a", "user": "b", "item": "x"}"#, "twice"),
            (#"{"user": "a", "item": "x", "weight": "2"}"#, "'weight' is no number"),
            (#"{"user": "a", "item": "x", "weight": NaN}"#, "no JSON object"),
            (#"{"user": "a", "item": "x", "time": 1.5}"#, "no time"),
            (#"{"user": "a", "item": "x", "time": -1}"#, "no time"),
        ]
    )
    func objects(_ line: String, _ words: String) throws {
        let found = try self.said("e.jsonl", line + "\n")
        #expect(found.count == 1 && found[0].contains(words), "\(found)")
    }

    /// At the limits, and one beyond them.
    @Test(
        arguments: [
            ("a\tx\t1e6", true), ("a\tx\t-1e6", true), ("a\tx\t1000001", false), ("a\tx\t3.4028236e38", false),
            ("a\tx\t1\t4102444799999", true), ("a\tx\t1\t9223372036854775808", false), ("a\tx\t1\t0", true),
            ("a\tx\t1\t-1", false),
            ("a\tx\t1\t2", true), ("a\tx\t1\t2\t", false), ("a\tx\t1\t", false),
            (String(repeating: "u", count: 255) + "\tx", true), (String(repeating: "u", count: 256) + "\tx", false),
            ("a\t" + String(repeating: "é", count: 127) + "i", true),
            ("a\t" + String(repeating: "é", count: 128), false),
        ]
    )
    func limits(_ line: String, _ isGood: Bool) throws {
        let found = try self.said("e.tsv", line + "\n")
        #expect(found.count == 1 && found[0].hasPrefix("! ") == !isGood, "\(found)")
    }
}
