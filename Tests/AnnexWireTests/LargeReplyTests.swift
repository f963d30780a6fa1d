import AnnexWire
import NIOCore
import Testing

/// A parser that passes over what is larger than its limits: bulks of 4 bytes, aggregates of 3.
@Suite struct LargeReplyTests {
    private static let cases: [(bytes: String, values: [ReplyValue])] = [
        ("$4\r\nabcd\r\n", [.bulk(Array("abcd".utf8))]), ("$5\r\nab\r\ne\r\n+x\r\n", [.null, .simple("x")]),
        ("*2\r\n$9\r\n*1\r\n$1\r\nx\r\n:7\r\n", [.array([.null, .integer(7)])]),
        ("*3\r\n:1\r\n:2\r\n:3\r\n", [.array([.integer(1), .integer(2), .integer(3)])]),
        ("*4\r\n:1\r\n*1\r\n:2\r\n$5\r\nabcde\r\n+y\r\n+x\r\n", [.null, .simple("x")]),
        ("*2\r\n*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n", [.array([.null, .integer(5)])]),
        ("=9\r\ntxt:abcde\r\n_\r\n", [.null, .null]),
    ]

    /// Whole, and cut at each byte.
    @Test func whatIsTooLargeIsPassedOver() throws {
        for (text, values) in Self.cases {
            let bytes = Array(text.utf8)
            for cut in 0...bytes.count {
                var parser = ReplyParser(maximumBulkBytes: 4, maximumElements: 3, passesOver: true)
                var (buffer, found) = (ByteBuffer(), [ReplyValue]())
                for part in [bytes[..<cut], bytes[cut...]] {
                    buffer.writeBytes(part)
                    while let value = try parser.next(&buffer) { found.append(value) }
                }
                #expect(found == values, "\(text.debugDescription) cut at \(cut)")
                #expect(buffer.readableBytes == 0)
            }
        }
    }

    private static let entry = "*2\r\n$2\r\nid\r\n*2\r\n$4\r\nname\r\n$4\r\nbody\r\n"

    /// Five elements of 14 bytes and one of 10: an entry counts 5 × 128 + 10.
    @Test(arguments: [(650, 1), (1_299, 1), (1_300, 2), (1_950, 3)]) func aReplyEndsWhereNoMoreIsKept(
        _ room: Int,
        _ whole: Int
    ) throws {
        let entry = ReplyValue.array([
            .bulk(Array("id".utf8)), .array([.bulk(Array("name".utf8)), .bulk(Array("body".utf8))]),
        ])
        let text = "*3\r\n" + String(repeating: Self.entry, count: 3) + Self.entry
        for cut in 0...text.utf8.count {
            // The array around the entries is an element too.
            var parser = ReplyParser(maximumKeptBytes: 128 + room, passesOver: true)
            var (buffer, found) = (ByteBuffer(), [ReplyValue]())
            for part in [text.utf8.prefix(cut), text.utf8.dropFirst(cut)] {
                buffer.writeBytes(part)
                while let value = try parser.next(&buffer) { found.append(value) }
            }
            #expect(found.count == 2 && found.last == entry, "the next reply has its whole room")
            let elements = found[0].elements ?? []
            #expect(elements.prefix(whole) == ArraySlice(repeating: entry, count: whole), "cut at \(cut)")
            #expect(whole == 3 ? elements.count == 3 : elements.count > whole, "cut at \(cut): \(elements)")
        }
    }

    /// However much of it there is, nothing of it is kept.
    @Test func aLargeBulkTakesNoMemory() throws {
        var parser = ReplyParser(maximumBulkBytes: 4, maximumElements: 3, passesOver: true)
        var buffer = ByteBuffer(string: "$\(64 << 20)\r\n")
        let piece = [UInt8](repeating: 0x78, count: 1 << 20)
        for _ in 0..<64 {
            buffer.writeBytes(piece)
            #expect(try parser.next(&buffer) == nil)
            #expect(buffer.readableBytes == 0)
            buffer.discardReadBytes()
        }
        buffer.writeString("\r\n+x\r\n")
        #expect(try parser.next(&buffer) == .null)
        #expect(try parser.next(&buffer) == .simple("x"))
    }

    @Test(arguments: [
        "$9223372036854775807\r\n", "$9223372036854775806\r\n", "*9223372036854775807\r\n", "*2147483648\r\n",
    ])
    func absurdLengths(_ text: String) {
        var parser = ReplyParser(maximumBulkBytes: 4, maximumElements: 3, passesOver: true)
        var buffer = ByteBuffer(string: text)
        #expect(throws: ReplyParser.Failure.self) { try parser.next(&buffer) }
        var strict = ReplyParser(maximumBulkBytes: 4, maximumElements: 3)
        for word in ["$5\r\nabcde\r\n", "*4\r\n"] {
            var buffer = ByteBuffer(string: word)
            #expect(throws: ReplyParser.Failure.self) { try strict.next(&buffer) }
        }
    }
}
