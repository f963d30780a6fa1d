import AnnexCore
import AnnexTestSupport
import AnnexWire
import Testing

/// Replies one behind the other, as text: "ok", or what an error says.
private func scan(_ pieces: [[UInt8]]) throws -> [String] {
    var scanner = ReplyScanner()
    var found: [String] = []
    for piece in pieces {
        try piece.withUnsafeBytes { bytes in
            var position = 0
            while let outcome = try scanner.next(bytes, from: &position) {
                found.append(outcome == .error ? String(decoding: scanner.errorText, as: UTF8.self) : "ok")
            }
            #expect(position == bytes.count)
        }
    }
    return found
}

@Suite struct ReplyScannerTests {
    private static let replies: [(bytes: String, outcomes: [String])] = [
        ("+PONG\r\n", ["ok"]), ("+\r\n", ["ok"]), (":-12\r\n", ["ok"]), ("_\r\n", ["ok"]), (",1.5e-3\r\n", ["ok"]),
        ("#t\r\n", ["ok"]), ("(3492890328409238509324850943850943825024385\r\n", ["ok"]),
        ("$5\r\nhello\r\n", ["ok"]), ("$0\r\n\r\n", ["ok"]), ("$-1\r\n", ["ok"]), ("$4\r\n\r\n\r\n\r\n", ["ok"]),
        ("$6\r\n+OK\r\n-\r\n", ["ok"]), ("=8\r\ntxt:text\r\n", ["ok"]),
        ("-ERR no such thing\r\n", ["ERR no such thing"]), ("-\r\n", [""]), ("!9\r\nSYNTAX no\r\n", ["SYNTAX no"]),
        ("!0\r\n\r\n", [""]),
        ("*0\r\n", ["ok"]), ("*-1\r\n", ["ok"]), ("*2\r\n$1\r\na\r\n:1\r\n", ["ok"]), ("~1\r\n+x\r\n", ["ok"]),
        ("%1\r\n+k\r\n*2\r\n+a\r\n+b\r\n", ["ok"]), ("%0\r\n", ["ok"]), ("*2\r\n*0\r\n*1\r\n*0\r\n", ["ok"]),
        ("*3\r\n:1\r\n-NOUSER a\r\n-OTHER b\r\n", ["NOUSER a"]), ("*1\r\n*1\r\n-DEEP in it\r\n", ["DEEP in it"]),
        // Attributes belong to what follows, pushes answer nothing; their errors are nobody's.
        ("|1\r\n+ttl\r\n:5\r\n+OK\r\n", ["ok"]), ("|0\r\n+OK\r\n", ["ok"]),
        ("*2\r\n|1\r\n+a\r\n*1\r\n+b\r\n:1\r\n:2\r\n", ["ok"]),
        (">2\r\n+invalidate\r\n-ERR x\r\n", []), (">0\r\n", []), (">1\r\n+x\r\n:1\r\n", ["ok"]),
    ]

    @Test func everyTypeCutAtEveryByte() throws {
        for (text, outcomes) in Self.replies {
            // Another reply behind it shows that the end was found.
            let bytes = Array((text + "-AFTER it\r\n").utf8)
            let wanted = outcomes + ["AFTER it"]
            #expect(try scan([bytes]) == wanted, "\(text)")
            #expect(try scan(bytes.map { [$0] }) == wanted, "\(text), byte by byte")
            for cut in 0...bytes.count {
                #expect(try scan([Array(bytes[..<cut]), Array(bytes[cut...])]) == wanted, "\(text), cut at \(cut)")
            }
        }
    }

    @Test func allTogetherInPiecesOfEverySize() throws {
        let bytes = Array(Self.replies.map(\.bytes).joined().utf8)
        let wanted = Self.replies.flatMap(\.outcomes)
        for size in 1...64 {
            let pieces = stride(from: 0, to: bytes.count, by: size).map {
                Array(bytes[$0..<min($0 + size, bytes.count)])
            }
            #expect(try scan(pieces) == wanted, "pieces of \(size)")
        }
    }

    @Test(arguments: [
        "hello\r\n", "\r\n", "+a\nb\r\n", "+a\rb\r\n", "$\r\n", "$x\r\n", "$-2\r\n", "$01\r\n", "$+1\r\n", "$1-\r\n",
        "$3\r\nabcd\r\n", "$3\r\nabc\n\r", "*\r\n", "*-2\r\n", "*1x\r\n", "*?\r\n", "*1\r\n\r\n", "$99999999999\r\n",
    ])
    func whatIsNoReplyIsRefused(text: String) {
        #expect(throws: ReplyScanner.Failure.self, "\(text)") { try scan([Array(text.utf8)]) }
        #expect(throws: ReplyScanner.Failure.self, "\(text), byte by byte") { try scan(text.utf8.map { [$0] }) }
    }

    @Test func whatIsTooLargeIsRefusedBeforeItComes() throws {
        let deep = String(repeating: "*1\r\n", count: ReplyScanner.maximumDepth)
        #expect(try scan([Array((deep + "+x\r\n").utf8)]) == ["ok"])
        let line = [UInt8](repeating: 0x61, count: ReplyScanner.maximumLineBytes)
        #expect(try scan([[0x2b] + line + [0x0d, 0x0a]]) == ["ok"])
        for text in [
            deep + "*1\r\n", "$\(ReplyScanner.maximumBulkBytes + 1)\r\n", "*\(ReplyScanner.maximumElements + 1)\r\n",
            "%\(ReplyScanner.maximumElements + 1)\r\n", "+" + String(decoding: line, as: UTF8.self) + "a",
        ] {
            let error = #expect(throws: ReplyScanner.Failure.self) { try scan([Array(text.utf8)]) }
            guard case .tooLarge = error else {
                Issue.record("\(text.prefix(40)): \(String(describing: error))")
                continue
            }
        }
    }

    @Test func aLongErrorIsKeptInPart() throws {
        let text = String(repeating: "x", count: 1_000)
        let wanted = String(repeating: "x", count: ReplyScanner.maximumErrorBytes)
        #expect(try scan([Array("-\(text)\r\n".utf8)]) == [wanted])
        #expect(try scan([Array("!1000\r\n\(text)\r\n".utf8)]) == [wanted])
    }

    @Test func bentBytesEndInAFailureOrInNothing() {
        var random = SeededRandom(seed: 77)
        let good = Array(Self.replies.map(\.bytes).joined().utf8)
        for _ in 0..<5_000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
            }
            let cut = Int.random(in: bytes.indices, using: &random)
            let whole = try? scan([bytes])
            let halves = try? scan([Array(bytes[..<cut]), Array(bytes[cut...])])
            #expect(whole == halves)
        }
    }
}
