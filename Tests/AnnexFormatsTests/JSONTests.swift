import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

@Suite struct JSONTests {
    static func attributeID(_ line: String) throws -> Identifier? {
        let folder = try TemporaryFolder()
        return try AttributeReader(path: try folder.write("a.jsonl", line + "\n")).next()?.identifier
    }

    /// A line of factors with this id.
    static func factorID(_ id: String) throws -> [String] {
        let folder = try TemporaryFolder()
        return try ReadFile(try folder.write("x.jsonl", "{\"id\": \(id), \"vector\": [1]}\n")).ids
    }

    @Test(arguments: [
        ("7", "7"), ("-7", "-7"), ("-0", "0"), ("7.0", "7"), ("7e2", "700"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775808"), ("18446744073709551617", "18446744073709551617"),
        ("123456789012345678901234567890", "123456789012345678901234567890"), ("9007199254740993", "9007199254740993"),
        ("\"a\\u00e9\\ud83d\\ude00\\/\"", "aé😀/"), ("\"\\u0041\"", "A"),
    ])
    func idsAreExact(_ text: String, _ id: String) throws {
        #expect(try Self.factorID(text) == [id])
        #expect(try Self.attributeID("{\"id\": \(text)}") == Identifier(id))
    }

    @Test(arguments: [
        "7.5", "1e30", "true", "null", "[]", "{}", "1e-1", "\"\"", "9007199254740993.0", "01", "+1", "NaN",
    ])
    func idsThatAreNone(_ text: String) throws {
        #expect(throws: AnnexError.self) { try Self.factorID(text) }
        #expect(throws: AnnexError.self) { try Self.attributeID("{\"id\": \(text)}") }
    }

    @Test(arguments: [
        "{\"id\":1,\"vector\":[1],\"id\":2}", "{\"id\":1,\"vector\":[1],\"\\u0069d\":1}",
        "{\"id\":1,\"vector\":[1],\"vector\":[2]}",
    ])
    func aNameThatComesTwiceIsRefused(_ line: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.jsonl", line + "\n")
        let error = #expect(throws: AnnexError.self) { try ReadFile(path) }
        #expect(error?.message.contains("twice") == true && error?.location == path + ":1")
        guard line.contains("[2]") == false else { return }
        #expect(#expect(throws: AnnexError.self) { try Self.attributeID(line) }?.message.contains("twice") == true)
    }

    @Test(arguments: ["[", "{\"a\":", "[{\"a\":"])
    func nestingIsBounded(_ open: String) throws {
        for line in [
            String(repeating: open, count: 1_000_000),
            "{\"id\":1,\"vector\":" + String(repeating: open, count: 1_000_000),
            "{\"id\":1,\"x\":" + String(repeating: "[", count: 512) + String(repeating: "]", count: 512) + "}",
        ] {
            let folder = try TemporaryFolder()
            let path = try folder.write("x.jsonl", line + "\n{\"id\":1,\"vector\":[1]}\n")
            let error = #expect(throws: AnnexError.self) { try ReadFile(path) }
            #expect(error?.location == path + ":1")
            #expect(try ReadFile(path, skipBadRows: true).rows == [[1]])
            #expect(throws: AnnexError.self) { try Self.attributeID(line) }
        }
        let deepest = "{\"id\":1,\"x\":" + String(repeating: "[", count: 511) + String(repeating: "]", count: 511) + "}"
        #expect(try Self.attributeID(deepest) == Identifier("1"))
    }

    @Test(arguments: [
        ("NaN", 2), ("Infinity", 2), ("-Infinity", 2), ("\"1\"", 2), ("true", 2), ("null", 2), ("[1]", 2), ("1e999", 2),
    ])
    func componentsThatAreNoNumbers(_ text: String, _ column: Int) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.jsonl", "{\"vector\":[1,2]}\n{\"vector\":[1,\(text)]}\n")
        #expect(#expect(throws: AnnexError.self) { try ReadFile(path) }?.location == "\(path):2:\(column)")
    }

    @Test(arguments: [
        "{\"id\":1,}", "{\"id\":1}x", "{id:1}", "{\"id\":1 \"a\":2}", "{\"id\":1,\"a\":\"\u{1}\"}",
        "{\"id\":1,\"a\":.5}",
        "{\"id\":1,\"a\":1.}", "{\"id\":1,\"a\":\"\\x\"}", "{\"id\":1,\"a\":\"\\ud800\"}",
        "{\"id\":1,\"a\":\"\\ud800\\u0041\"}",
        "{\"id\":1,\"a\":NaN}", "{\"id\":1,\"a\":[1,]}", "{\"id\":1,\"a\":tru}", "\"id\"", "{\"id\":1,\"a\":\"\\u12\"}",
        "{\"id\"",
        "{\"id\":1,\"a\":0x1}", "{\"id\":1,\"a\":-}", "{\"id\":1,\"a\":1e}", "{\"id\":1,\"a\":\"", "{",
        "{\"id\":1,\"a\":\"\\",
    ])
    func whatIsNoJSON(_ line: String) throws {
        let error = #expect(throws: AnnexError.self) { try Self.attributeID(line) }
        #expect(error?.message.contains("JSON") == true)
    }

    /// Foundation's parser agrees on lines that were bent at random, where both have an opinion.
    @Test func theSameAsFoundation() throws {
        let seed: UInt64 = 77_001
        var random = SeededRandom(seed: seed)
        let folder = try TemporaryFolder()
        let good = Array(
            #"{"id": 12, "a": [1.5e-3, true, null, {"b": "x\n\u00e9é", "c": {}}], "d": [], "e": -0.0}"#.utf8
        )
        var both = 0
        for round in 0..<3_000 {
            var line = good
            for _ in 0..<Int.random(in: 1...2, using: &random) {
                let replacement = good[Int.random(in: 0..<good.count, using: &random)]
                line[Int.random(in: 0..<line.count, using: &random)] = replacement
            }
            // Foundation takes the last of two equal names, and knows NaN not at all.
            let object = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
            let path = try folder.write("x.jsonl", Data(line))
            let ours = try? AttributeReader(path: path).next()
            guard object?["id"] is NSNumber || object?["id"] is String else {
                #expect(ours == nil, "seed \(seed), round \(round): \(String(decoding: line, as: UTF8.self))")
                continue
            }
            both += ours == nil ? 0 : 1
        }
        print("theSameAsFoundation: seed \(seed), \(both) of 3000 accepted by both")
        #expect(both > 200)
    }
}
