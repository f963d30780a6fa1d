import AnnexWire
import NIOCore
import Testing

/// Every limit at the limit, one beyond, and at the ends of Int64.
@Suite struct WireLimitsTests {
    private static let hostile = [
        "4294967296", "2147483648", "1048577000", "9223372036854775806", "9223372036854775807", "9223372036854775808",
        "18446744073709551615", "99999999999999999999",
    ]

    @Test func defaultsAreThoseOfP5AndP6() {
        let limits = WireLimits()
        #expect(limits.argumentBytes == 1_048_576 && limits.commandBytes == 16_777_216)
        #expect(limits.lineBytes == 65_536 && limits.arguments == 65_536)
        #expect(limits.unauthenticatedArguments == 10 && limits.unauthenticatedArgumentBytes == 16_384)
        #expect(limits.unauthenticatedBufferBytes == 65_536)
    }

    @Test(arguments: [true, false])
    func argumentCount(authenticated: Bool) {
        let limit = authenticated ? 65_536 : 10
        #expect(parse("*\(limit)\r\n", authenticated: authenticated).failure == nil)
        let text = authenticated ? "invalid multibulk length" : "unauthenticated multibulk length"
        #expect(parse("*\(limit + 1)\r\n", authenticated: authenticated).failure == text)
        for count in Self.hostile {
            #expect(parse("*\(count)\r\n", authenticated: authenticated).failure == "invalid multibulk length")
        }
    }

    @Test func asManyArgumentsAsAllowedAreTaken() {
        let words = Array(repeating: [UInt8(ascii: "x")], count: 65_536)
        #expect(parse(WireSamples.encode(words)).requests.first?.count == 65_536)
        #expect(parse(WireSamples.encode(words + [[]])).failure == "invalid multibulk length")
    }

    /// What is compared with names has a limit: an argument may have a megabyte.
    @Test func namesAndTextsHaveLimits() {
        let most = Request.maximumName
        let words = [
            String(repeating: "N", count: most), String(repeating: "N", count: most + 1), "Ünder", "Get|\u{0}", "",
            String(repeating: "n", count: 1 << 20),
        ]
        let names = words.indices.map { request(words).name($0) }
        #expect(names == [String(repeating: "n", count: most), nil, nil, "get|\u{0}", "", nil])
        #expect(request("abc").text(0, atMost: 3) == "abc" && request("abc").text(0, atMost: 2) == nil)
        #expect(request("abc").text(0, atMost: .max) == "abc" && request("").text(0, atMost: 0) == "")
        #expect(Request([[0xff, 0x41]]).text(0, atMost: 2) == "\u{fffd}A")
        #expect(request(String(repeating: "i", count: 255)).identifier(0) != nil)
        #expect(request(String(repeating: "i", count: 256)).identifier(0) == nil)
    }

    @Test(arguments: [true, false])
    func argumentBytes(authenticated: Bool) {
        let limit = authenticated ? 1 << 20 : 16 << 10
        let word = [UInt8](repeating: 0x78, count: limit)
        let taken = parse(WireSamples.encode([Array("ECHO".utf8), word]), authenticated: authenticated)
        #expect(taken.requests.first?.last?.count == limit)
        let text = authenticated ? "invalid bulk length" : "unauthenticated bulk length"
        #expect(parse("*2\r\n$4\r\nECHO\r\n$\(limit + 1)\r\n", authenticated: authenticated).failure == text)
        for length in Self.hostile {
            #expect(parse("*1\r\n$\(length)\r\n", authenticated: authenticated).failure == "invalid bulk length")
            #expect(parse("*1\r\n$-\(length)\r\n", authenticated: authenticated).failure == "invalid bulk length")
        }
    }

    @Test func commandBytes() {
        var limits = WireLimits()
        limits.commandBytes = 1_000
        let frame = { (length: Int) in
            WireSamples.encode([Array("ECHO".utf8), [UInt8](repeating: 0x78, count: length)])
        }
        let fitting = 1_000 - (frame(900).count - 900)
        #expect(frame(fitting).count == 1_000)
        #expect(parse(frame(fitting), limits: limits).requests.count == 1)
        #expect(parse(frame(fitting + 1), limits: limits).failure == "too big command")
        // With the defaults: 16 arguments of 1 MiB are more than 16 MiB with their framing, 15 are not.
        let mebibyte = [UInt8](repeating: 0x78, count: 1 << 20)
        #expect(parse(WireSamples.encode(Array(repeating: mebibyte, count: 15))).requests.count == 1)
        #expect(parse(WireSamples.encode(Array(repeating: mebibyte, count: 16))).failure == "too big command")
    }

    @Test func commandBytesBeforeAuthentication() {
        let word = [UInt8](repeating: 0x78, count: 16 << 10)
        #expect(parse(WireSamples.encode([word, word, word]), authenticated: false).requests.count == 1)
        let four = parse(WireSamples.encode([word, word, word, word]), authenticated: false)
        #expect(four.failure == "unauthenticated client sent too much")
    }

    @Test(arguments: [true, false])
    func lineBytes(authenticated: Bool) {
        let limit = 65_536
        // Words of 8 bytes with a blank, few of them before AUTH.
        func line(_ length: Int) -> String {
            let head = authenticated ? "" : String(repeating: " ", count: length - 100)
            return head + String(repeating: "x", count: length - head.utf8.count)
        }
        for end in ["\r\n", "\n"] {
            #expect(parse(line(limit) + end, authenticated: authenticated).requests.count == 1)
            #expect(parse(line(limit + 1) + end, authenticated: authenticated).failure == "too big inline request")
        }
        #expect(parse(line(limit) + "xx", authenticated: authenticated).failure == "too big inline request")
    }

    @Test func wordsOfALineKeepTheLimitsOfArguments() {
        let eleven = Array(repeating: "x", count: 11).joined(separator: " ") + "\r\n"
        #expect(parse(eleven, authenticated: false).failure == "unauthenticated multibulk length")
        #expect(parse(String(eleven.dropFirst(2)), authenticated: false).requests.count == 1)
        let long = String(repeating: "x", count: 16_385) + "\r\n"
        #expect(parse(long, authenticated: false).failure == "unauthenticated bulk length")
        var limits = WireLimits()
        limits.arguments = 3
        limits.argumentBytes = 5
        #expect(parse("a b c\r\n", limits: limits).requests.count == 1)
        #expect(parse("a b c d\r\n", limits: limits).failure == "invalid multibulk length")
        #expect(parse("aaaaa\r\n", limits: limits).requests.count == 1)
        #expect(parse("aaaaaa\r\n", limits: limits).failure == "invalid bulk length")
    }

    @Test func aDeclarationAllocatesNothing() {
        for text in ["*65536\r\n", "*65536\r\n$1048576\r\n", "*3\r\n$4\r\nECHO\r\n$1048576\r\n"] {
            var parser = RequestParser()
            var buffer = ByteBuffer(string: text)
            let capacity = buffer.capacity
            var request = Request()
            #expect(parser.next(&buffer, into: &request) == .needMore)
            #expect(buffer.capacity == capacity && request.arguments.capacity <= 8)
            #expect(parser.pendingBytes == text.utf8.count && parser.isInsideFrame)
        }
    }

    @Test func limitsOfAnySizeDoNotTrap() {
        for value in [Int.max, Int.max - 1, 0, -1, Int.min] {
            var limits = WireLimits()
            limits.argumentBytes = value
            limits.commandBytes = value
            limits.lineBytes = value
            limits.arguments = value
            limits.unauthenticatedArguments = value
            limits.unauthenticatedArgumentBytes = value
            limits.unauthenticatedBufferBytes = value
            for authenticated in [true, false] {
                for text in [
                    "*1\r\n$9223372036854775807\r\n", "*9223372036854775807\r\n", "PING\r\n", "*1\r\n$4\r\nPING\r\n",
                ] {
                    let stream = parse(text, limits: limits, authenticated: authenticated)
                    #expect(stream.failure != nil || stream.requests.count == 1)
                }
            }
            #expect(limits.clamped.clamped == limits.clamped)
        }
    }

    @Test func authenticationTakesEffectBetweenCommands() {
        var parser = RequestParser(authenticated: false)
        let words = Array(repeating: "x", count: 11).map { Array($0.utf8) }
        var buffer = ByteBuffer(bytes: WireSamples.encode("AUTH", "secret") + WireSamples.encode(words))
        var request = Request()
        #expect(parser.next(&buffer, into: &request) == .request)
        parser.authenticated = true
        #expect(parser.next(&buffer, into: &request) == .request && request.count == 11)
    }
}
