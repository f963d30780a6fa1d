import AnnexTestSupport
import AnnexWire
import NIOCore
import Testing

@Suite struct RequestParserTests {
    private static let seeds: [UInt64] = [1, 2, 3]

    @Test(arguments: seeds)
    func framesWholeJoinedAndInPieces(seed: UInt64) {
        var samples = WireSamples(seed: seed)
        let frames = (0..<400).map { _ in samples.frame() }
        let bytes = frames.flatMap(\.bytes)
        let expected = ParsedStream(requests: frames.map(\.words).filter { !$0.isEmpty })

        for frame in frames {
            let alone = parse(frame.bytes)
            #expect(alone == ParsedStream(requests: frame.words.isEmpty ? [] : [frame.words]), "seed \(seed)")
        }
        for (pieces, compact) in [
            ([bytes[...]], false), (bytes.indices.map { bytes[$0...$0] }, false),
            (bytes.indices.map { bytes[$0...$0] }, true),
            (samples.pieces(of: bytes, longest: 7), true), (samples.pieces(of: bytes, longest: 900), false),
        ] {
            var parser = RequestParser()
            #expect(parse(pieces, with: &parser, compact: compact) == expected, "seed \(seed), \(pieces.count) pieces")
            #expect(!parser.isInsideFrame)
            #expect(parser.examinedBytes <= bytes.count, "a byte was looked at twice; seed \(seed)")
        }
    }

    @Test func aFrameCutAtEveryByteKeepsItsProgress() {
        let bytes = WireSamples.encode("ECHO", "hello", "")
        for cut in 1..<bytes.count {
            var parser = RequestParser()
            var buffer = ByteBuffer(bytes: bytes[..<cut])
            var request = Request()
            #expect(parser.next(&buffer, into: &request) == .needMore)
            #expect(buffer.readerIndex == 0, "an unfinished frame stays in the buffer")
            buffer.writeBytes(bytes[cut...])
            #expect(parser.next(&buffer, into: &request) == .request)
            #expect(request.count == 3 && request.string(1) == "hello")
        }
    }

    @Test(arguments: [
        ("*x\r\n", "invalid multibulk length"), ("*+1\r\n", "invalid multibulk length"),
        ("*1 \r\n", "invalid multibulk length"),
        ("*01\r\n", "invalid multibulk length"), ("*\r\n", "invalid multibulk length"),
        ("*1\n", "invalid multibulk length"),
        ("*12\n", "invalid multibulk length"), ("*1\r\n$45\nPING\r\n", "invalid bulk length"),
        ("*\u{663}\r\n", "invalid multibulk length"), ("*-\r\n", "invalid multibulk length"),
        ("*18446744073709551616\r\n", "invalid multibulk length"),
        ("*111111111111111111111111111", "too big mbulk count string"),
        ("*1\r\n$-1\r\n", "invalid bulk length"), ("*1\r\n$+4\r\nPING\r\n", "invalid bulk length"),
        ("*1\r\n$4x\r\nPING\r\n", "invalid bulk length"), ("*1\r\n$\r\n\r\n", "invalid bulk length"),
        ("*1\r\n$ 4\r\nPING\r\n", "invalid bulk length"),
        ("*1\r\n$00000000000000000000000000", "too big bulk count string"),
        ("*1\r\n:4\r\n", "expected '$', got ':'"), ("*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
        ("*1\r\n\u{1}", "expected '$', got '?'"), ("*1\r\n\r\n", "expected '$', got '?'"),
        ("*1\r\n$4\r\nPINGxx", "expected CRLF after a bulk string"),
        ("*1\r\n$4\r\nPING\n\r", "expected CRLF after a bulk string"),
        ("\"open\r\n", "unbalanced quotes in request"), ("'open\n", "unbalanced quotes in request"),
        ("ECHO \"a\"b\r\n", "unbalanced quotes in request"), ("ECHO \"a\\\"\r\n", "unbalanced quotes in request"),
        ("POST / HTTP/1.1\r\n", "this is no HTTP server"), ("Host: localhost\r\n", "this is no HTTP server"),
    ])
    func refused(text: String, why: String) {
        let stream = parse(text)
        #expect(stream.requests.isEmpty && stream.failure == why)
        // The same whichever way the bytes come.
        let bytes = Array(text.utf8)
        var parser = RequestParser()
        #expect(parse(bytes.indices.map { bytes[$0...$0] }, with: &parser).failure == why)
    }

    @Test(arguments: [
        "*0\r\n", "*-1\r\n", "*-9223372036854775808\r\n", "\r\n", "\n", "   \t\r\n", "*0\r\n\r\n*-1\r\n\n",
    ])
    func emptyRequestsAskNothingAndResetEverything(text: String) {
        let ping = "*1\r\n$4\r\nPING\r\n"
        let stream = parse(text + ping + text + "ECHO a\r\n" + text)
        #expect(stream == ParsedStream(requests: [[Array("PING".utf8)], [Array("ECHO".utf8), Array("a".utf8)]]))
        var parser = RequestParser()
        _ = parse([Array(text.utf8)[...]], with: &parser)
        #expect(!parser.isInsideFrame && parser.pendingBytes == 0)
    }

    @Test func parsingIsLinear() {
        func work(_ count: Int, piece: Int) -> (examined: Int, bytes: Int) {
            let words = [Array("TOPK".utf8)] + (0..<count).map { Array("item\($0)".utf8) }
            let bytes = WireSamples.encode(words)
            var parser = RequestParser()
            let pieces = stride(from: 0, to: bytes.count, by: piece).map { bytes[$0..<min($0 + piece, bytes.count)] }
            #expect(parse(pieces, with: &parser).requests.first?.count == count + 1)
            return (parser.examinedBytes, bytes.count)
        }
        for piece in [1, 13, 4_096] {
            let small = work(1_000, piece: piece)
            let large = work(4_000, piece: piece)
            #expect(small.examined <= small.bytes && large.examined <= large.bytes)
            #expect(Double(large.examined) <= 4.5 * Double(small.examined))
        }
        // A long line that trickles in.
        let line = Array((String(repeating: "x", count: 20_000) + "\r\n").utf8)
        var parser = RequestParser()
        #expect(parse(line.indices.map { line[$0...$0] }, with: &parser).requests.count == 1)
        #expect(parser.examinedBytes <= line.count)
    }

    @Test(arguments: [(8_192, 0), (8_193, 1), (16_384, 1), (65_536, 7)])
    func aLongFrameIsReadInParts(count: Int, pauses: Int) {
        let words = (0..<count).map { Array("\($0)".utf8) }
        let bytes = Array("*\(count)\r\n".utf8) + words.flatMap { Array("$\($0.count)\r\n".utf8) + $0 + [13, 10] }
        for piece in [bytes.count, 10_007] {
            var parser = RequestParser()
            let pieces = stride(from: 0, to: bytes.count, by: piece).map { bytes[$0..<min(bytes.count, $0 + piece)] }
            let stream = parse(pieces, with: &parser)
            #expect(stream.requests == [words] && stream.failure == nil && stream.left == 0)
            #expect(stream.pauses == pauses)
        }
    }

    @Test func aCopyOfARequestOutlivesTheBuffer() {
        var parser = RequestParser()
        var buffer = ByteBuffer(bytes: WireSamples.encode("ECHO", "kept"))
        var request = Request()
        #expect(parser.next(&buffer, into: &request) == .request)
        let copy = request
        request.release(midFrame: false)
        buffer.clear()
        buffer.writeRepeatingByte(0x78, count: 64)
        #expect(copy.string(1) == "kept" && request.count == 0)
    }
}
