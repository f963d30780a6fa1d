import AnnexCore
import AnnexTestSupport
import AnnexWire
import NIOCore
import Testing

@Suite struct ReplyWriterTests {
    private func text(_ version: RESPVersion, _ body: (inout ReplyWriter) -> Void) -> String {
        var writer = ReplyWriter(version: version, buffer: ByteBuffer())
        body(&writer)
        return String(buffer: writer.buffer)
    }

    private func check(_ two: String, _ three: String, _ body: (inout ReplyWriter) -> Void) {
        #expect(self.text(.two, body) == two)
        #expect(self.text(.three, body) == three)
    }

    /// Each type at its exact size, one byte below it, and far below: what does not fit leaves nothing behind, and all that
    /// follows is dropped until the writer is rewound.
    @Test(arguments: [RESPVersion.two, .three]) func budgets(_ version: RESPVersion) {
        let bodies: [(inout ReplyWriter) -> Void] = [
            { $0.simpleString("OK\u{1}") }, { $0.status("PONG") }, { $0.error(code: .error, "no") }, { $0.integer(7) },
            { $0.integer(.min) }, { $0.bulk("") }, { $0.bulk(String(repeating: "x", count: 100)) }, { $0.null() },
            { $0.nullArray() }, { $0.array(123_456) }, { $0.map(9) }, { $0.set(10) }, { $0.boolean(true) },
            { $0.double(Float(0.1)) }, { $0.double(1e300) }, { $0.verbatim("text") },
            { writer in [UInt8](repeating: 1, count: 1_000).withUnsafeBytes { writer.bulk($0) } },
            { $0.encoded(ByteBuffer(string: "+OK\r\n")) },
        ]
        for (index, body) in bodies.enumerated() {
            let whole = self.text(version, body)
            for budget in [whole.utf8.count, whole.utf8.count + 1, Int.max] {
                var writer = ReplyWriter(version: version, budget: budget, buffer: ByteBuffer())
                body(&writer)
                #expect(!writer.isOverBudget && String(buffer: writer.buffer) == whole, "\(index) in \(budget)")
            }
            for budget in [whole.utf8.count - 1, 1, 0] {
                var writer = ReplyWriter(version: version, buffer: ByteBuffer(string: "before"))
                let start = writer.begin(budget: budget)
                body(&writer)
                #expect(writer.isOverBudget && writer.position == start, "\(index) in \(budget)")
                writer.rewind(to: start)
                #expect(!writer.isOverBudget)
                body(&writer)
                writer.integer(1)
                #expect(writer.isOverBudget && String(buffer: writer.buffer) == "before")
            }
        }
    }

    /// A reply of more than 4 GiB, past what a buffer can count, takes no more than its budget.
    @Test func noReplyOutgrowsItsBudget() {
        let attribute = [UInt8](repeating: 65, count: 43_000)
        var writer = ReplyWriter(version: .two, budget: 1 << 20, buffer: ByteBuffer())
        attribute.withUnsafeBytes { bytes in for _ in 0..<110_000 { writer.bulk(bytes) } }
        #expect(writer.isOverBudget && writer.buffer.capacity <= 2 << 20)
    }

    @Test func aNarrowBudgetIsGivenBack() {
        var writer = ReplyWriter(version: .two, budget: 1_000, buffer: ByteBuffer())
        #expect(!writer.write(within: 10) { $0.bulk(String(repeating: "x", count: 100)) })
        #expect(writer.position == 0 && !writer.isOverBudget)
        #expect(writer.write(within: 10) { $0.integer(1) })
        writer.bulk(String(repeating: "x", count: 100))
        #expect(!writer.isOverBudget)
        #expect(
            !writer.write(within: 5_000) { $0.bulk(String(repeating: "x", count: 2_000)) },
            "never more than the whole"
        )
    }

    @Test func shapes() {
        self.check("+OK\r\n", "+OK\r\n") { $0.simpleString("OK") }
        self.check(":0\r\n", ":0\r\n") { $0.integer(0) }
        self.check(":-9223372036854775808\r\n", ":-9223372036854775808\r\n") { $0.integer(.min) }
        self.check(":9223372036854775807\r\n", ":9223372036854775807\r\n") { $0.integer(.max) }
        self.check("$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n") { $0.bulk("a\r\n") }
        self.check("$0\r\n\r\n", "$0\r\n\r\n") { $0.bulk("") }
        self.check("$-1\r\n", "_\r\n") { $0.null() }
        self.check("*-1\r\n", "_\r\n") { $0.nullArray() }
        self.check("*2\r\n", "*2\r\n") { $0.array(2) }
        self.check("*4\r\n", "%2\r\n") { $0.map(2) }
        self.check("*3\r\n", "~3\r\n") { $0.set(3) }
        self.check(":1\r\n:0\r\n", "#t\r\n#f\r\n") {
            $0.boolean(true)
            $0.boolean(false)
        }
        self.check("$3\r\n0.5\r\n", ",0.5\r\n") { $0.double(Float(0.5)) }
        self.check("$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n") { $0.verbatim("hi") }
        self.check("-ERR no\r\n", "-ERR no\r\n") { $0.error(code: .error, "no") }
    }

    @Test(arguments: [
        (Float.infinity, "inf"), (-.infinity, "-inf"), (.nan, "nan"), (-Float.nan, "nan"), (.signalingNaN, "nan"),
        (1, "1"),
        (-0.0, "-0"), (16_777_216, "16777216"), (0.1, "0.1"), (3.4028235e38, "3.4028235e+38"),
        (.leastNonzeroMagnitude, "1e-45"), (100, "100"),
    ])
    func specialFloats(value: Float, text: String) {
        self.check("$\(text.utf8.count)\r\n\(text)\r\n", ",\(text)\r\n") { $0.double(value) }
    }

    @Test func shortestDecimalsReadBackTheSame() {
        let seed: UInt64 = 7
        var generator = SeededRandom(seed: seed)
        for _ in 0..<20_000 {
            let single = Float(bitPattern: UInt32(truncatingIfNeeded: generator.next()))
            let double = Double(bitPattern: generator.next())
            guard !single.isNaN, !double.isNaN else { continue }
            let a = self.text(.three) { $0.double(single) }.dropFirst().dropLast()
            let b = self.text(.three) { $0.double(double) }.dropFirst().dropLast()
            #expect(Float(a)?.bitPattern == single.bitPattern, "seed \(seed): \(a)")
            #expect(Double(b)?.bitPattern == double.bitPattern, "seed \(seed): \(b)")
            #expect(a.utf8.count <= 16 && b.utf8.count <= 25)
        }
    }

    @Test func nothingFromOutsideEndsALine() throws {
        let evil = "x\r\n+OK\r\n\u{1b}[31m\0\u{7f}\u{85}\u{2028}é"
        for version in [RESPVersion.two, .three] {
            let error = self.text(version) { $0.error(code: .error, evil) }
            #expect(error == "-ERR x\\x0d\\x0a+OK\\x0d\\x0a\\x1b[31m\\x00\\x7f\\xc2\\x85\\xe2\\x80\\xa8é\r\n")
            let simple = self.text(version) { $0.simpleString("a\r\nb") }
            #expect(simple == "+a\\x0d\\x0ab\r\n")
            let long = self.text(version) { $0.error(code: .error, String(repeating: "\n", count: 1 << 20)) }
            #expect(long.utf8.count < 10_000)
        }
    }

    @Test func bytesAsTheyAre() throws {
        let bytes = (0...255).map { UInt8($0) }
        let value = try reply { writer in bytes.withUnsafeBytes { writer.bulk($0) } }
        #expect(value == .bulk(bytes))
    }
}

@Suite struct ReplyParserTests {
    private static let stream =
        "+OK\r\n-ERR no\r\n:-5\r\n$-1\r\n$2\r\nhi\r\n*2\r\n:1\r\n*1\r\n_\r\n%1\r\n+a\r\n,1.5\r\n~1\r\n#t\r\n*0\r\n=6\r\ntxt:hi\r\n,inf\r\n*-1\r\n"
    private static let values: [ReplyValue] = [
        .simple("OK"), .error("ERR no"), .integer(-5), .null, .bulk([0x68, 0x69]),
        .array([.integer(1), .array([.null])]),
        .map([.simple("a"), .double(1.5)]), .set([.boolean(true)]), .array([]), .bulk([0x68, 0x69]), .double(.infinity),
        .null,
    ]

    @Test(arguments: [1, 2, 3, 5, 1_000])
    func repliesInPieces(piece: Int) throws {
        let bytes = Array(Self.stream.utf8)
        var parser = ReplyParser()
        var buffer = ByteBuffer()
        var found: [ReplyValue] = []
        for start in stride(from: 0, to: bytes.count, by: piece) {
            buffer.writeBytes(bytes[start..<min(start + piece, bytes.count)])
            while let value = try parser.next(&buffer) { found.append(value) }
        }
        #expect(found == Self.values && buffer.readableBytes == 0)
    }

    @Test(arguments: [
        "$9223372036854775807\r\n", "$+1\r\nx\r\n", "$-2\r\n", "*9223372036854775807\r\n", "*-2\r\n", "?\r\n",
        "$1\r\nxyz", ":x\r\n",
        "#x\r\n", "+\n", ",x\r\n", String(repeating: "*1\r\n", count: 100),
        "+" + String(repeating: "x", count: 1_100_000),
    ])
    func refused(text: String) {
        var parser = ReplyParser()
        var buffer = ByteBuffer(string: text)
        #expect(throws: ReplyParser.Failure.self) { try parser.next(&buffer) }
    }
}
