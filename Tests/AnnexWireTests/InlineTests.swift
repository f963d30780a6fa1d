import AnnexWire
import Testing

@Suite struct InlineTests {
    @Test(arguments: [
        ("PING\r\n", ["PING"]), ("  PING   a\tb \n", ["PING", "a", "b"]), ("ECHO \"a b\"\r\n", ["ECHO", "a b"]),
        ("ECHO 'a b'\r\n", ["ECHO", "a b"]), ("ECHO \"\"\r\n", ["ECHO", ""]), ("ECHO ''\n", ["ECHO", ""]),
        ("ECHO \"\\r\\n\\t\\b\\a\\\\\\\"\\q\"\r\n", ["ECHO", "\r\n\t\u{8}\u{7}\\\"q"]),
        ("ECHO \"\\x00\\x7F\\x41\"\r\n", ["ECHO", "\0\u{7f}A"]), ("ECHO \"\\xZZ\"\r\n", ["ECHO", "xZZ"]),
        ("ECHO '\\n\\''\r\n", ["ECHO", "\\n'"]), ("ECHO 'say \"hi\"'\r\n", ["ECHO", "say \"hi\""]),
        ("ECHO a\"b c\"\r\n", ["ECHO", "ab c"]), ("ECHO \"naïve\"\r\n", ["ECHO", "naïve"]), ("a\\b\r\n", ["a\\b"]),
        ("TOPK faiss 10 WITHSCORES\r\n", ["TOPK", "faiss", "10", "WITHSCORES"]), ("a\rb\r\n", ["a", "b"]),
        ("a\0b\r\n", ["a", "b"]),
    ])
    func words(line: String, words: [String]) {
        #expect(parse(line).requests == [words.map { Array($0.utf8) }])
    }

    @Test(arguments: [
        "ECHO \"a", "ECHO 'a", "ECHO \"a\"b", "ECHO 'a'b", "ECHO \"\\", "ECHO \"\\x4", "\"", "'", "ECHO \"a\"\"b\"",
    ])
    func unbalanced(line: String) {
        #expect(parse(line + "\r\n").failure == "unbalanced quotes in request")
    }

    @Test func bytesThatAreNoText() {
        let bytes: [UInt8] = [0x45, 0x20, 0xff, 0xfe, 0x80, 0x0a]
        #expect(parse(bytes).requests == [[[0x45], [0xff, 0xfe, 0x80]]])
    }
}
