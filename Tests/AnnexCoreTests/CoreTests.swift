import AnnexCore
import Testing

@Suite struct IdentifierTests {
    @Test func lengthLimits() {
        #expect(Identifier([]) == nil)
        #expect(Identifier([UInt8](repeating: 0x61, count: 255)) != nil)
        #expect(Identifier([UInt8](repeating: 0x61, count: 256)) == nil)
    }

    @Test func invalidUTF8IsRefused() {
        for bytes: [UInt8] in [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0xf4, 0x90, 0x80, 0x80]] {
            #expect(Identifier(bytes) == nil, "\(bytes)")
        }
    }

    @Test func twoSpellingsOfOneLetterAreTwoIds() throws {
        let composed = try #require(Identifier("caf\u{e9}"))
        let decomposed = try #require(Identifier("cafe\u{301}"))
        #expect(composed != decomposed)
        #expect(decomposed < composed)
    }
}

@Suite struct EntryNameTests {
    @Test(arguments: ["a", "debian", "A.b_c-9", String(repeating: "x", count: 64)])
    func accepted(_ name: String) { #expect(EntryName(name) != nil) }

    @Test(arguments: [
        "", ".", "..", "-a", "_a", "a/b", "a\0", "%2e", "é", "a b", String(repeating: "x", count: 65), "../a", "a\n",
    ])
    func refused(_ name: String) { #expect(EntryName(name) == nil) }
}

@Suite struct SlotTests {
    /// Values of Python's `binascii.crc_hqx(key, 0) % 16384`, and the examples of the Redis Cluster specification.
    @Test(arguments: [
        ("123456789", 12739), ("foo", 12182), ("bar", 5061), ("{user1000}.following", 3443),
        ("{user1000}.followers", 3443), ("foo{}{bar}", 8363), ("foo{{bar}}zap", 4015), ("foo{bar}{zap}", 5061), ("", 0),
    ])
    func slot(_ key: String, _ expected: Int) { #expect(Slot.of(Array(key.utf8)) == expected) }

    /// The definition bit by bit (XMODEM: polynomial 0x1021, from 0), over keys of all lengths and offsets of eight.
    @Test func slotsOfLongKeys() {
        var random = SeededRandom(seed: 20_261_130)
        for length in Array(0...80) + [255, 256, 1_000, 4_099] {
            let key = (0..<length).map { _ in UInt8(random.below(120)) }
            var crc: UInt16 = 0
            for byte in key {
                crc ^= UInt16(byte) << 8
                for _ in 0..<8 { crc = crc & 0x8000 != 0 ? (crc << 1) ^ 0x1021 : crc << 1 }
            }
            // Bytes are below "{": the whole key counts.
            #expect(Slot.of(key) == Int(crc) % 16_384, "\(length) bytes")
        }
    }
}

@Suite struct IndexKindTests {
    @Test(arguments: [
        "Flat", "HNSW16", "HNSW32,Flat", "HNSW32,SQ8", "IVF1024,Flat", "IVF1,SQ8", "IVF64,PQ16", "PCA64,IVF256,SQ8",
        "OPQ16,IVF64,PQ16", "OPQ16_64,IVF64,PQ16", "PCA32,HNSW16",
    ])
    func accepted(_ text: String) throws { #expect(try IndexKind(parsing: text).description == text) }

    @Test(arguments: [
        "", "flat", "HNSW", "HNSW3", "HNSW129", "HNSW16,PQ8", "IVF", "IVF0,Flat", "IVF16", "IVF16,Flat,Extra", "PQ8",
        "IVF99999999999999999999,Flat", "LSH", "PCA64,Flat", "OPQ16_63,IVF64,PQ16", "IVF+4,Flat", "IVF04,Flat", ",",
        "Flat,",
        "IMI2x8,Flat",
    ])
    func refused(_ text: String) { #expect(throws: AnnexError.self) { try IndexKind(parsing: text) } }
}

@Suite struct PrintableTests {
    @Test func controlBytesNeverAppearRaw() {
        #expect(Printable.escape("a\r\nb\u{1b}[0m") == "a\\x0d\\x0ab\\x1b[0m")
        #expect(Printable.escape([0x61, 0xff, 0xc3, 0xa9]) == "a\\xffé")
        #expect(Printable.escape(String(repeating: "x", count: 200), limit: 4) == "xxxx…")
        #expect(!Printable.escape("\u{85}\u{2028}").unicodeScalars.contains("\u{85}"))
    }

    /// Unicode 15's controls, formats, and separators of lines and paragraphs, as UnicodeData.txt has them.
    private static let unseen: [ClosedRange<UInt32>] = [
        0x00...0x1f, 0x7f...0x9f, 0xad...0xad, 0x600...0x605, 0x61c...0x61c, 0x6dd...0x6dd, 0x70f...0x70f,
        0x890...0x891,
        0x8e2...0x8e2, 0x180e...0x180e, 0x200b...0x200f, 0x2028...0x202e, 0x2060...0x2064, 0x2066...0x206f,
        0xfeff...0xfeff,
        0xfff9...0xfffb, 0x110bd...0x110bd, 0x110cd...0x110cd, 0x13430...0x1343f, 0x1bca0...0x1bca3, 0x1d173...0x1d17a,
        0xe0001...0xe0001, 0xe0020...0xe007f,
    ]

    @Test func nothingThatActsOnOtherTextAppearsRaw() throws {
        var count = 0
        for value in Self.unseen.joined() {
            let scalar = try #require(Unicode.Scalar(value))
            let escaped = "\(scalar)".utf8.map { "\\x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            #expect(Printable.escape("a\(scalar)b") == "a\(escaped)b", "U+\(String(value, radix: 16))")
            count += 1
        }
        #expect(count == 237)
        let shown = "né 東京 שלום سلام हिन्दी 👍 \u{a0}\u{3000}|"
        #expect(Printable.escape(shown) == shown)
    }
}

@Suite struct PlainNumberTests {
    @Test(arguments: [("0", 0), ("90", 90), ("-1", -1), ("9223372036854775807", Int.max)])
    func digitsAreANumber(_ text: String, _ number: Int) {
        #expect(PlainNumber.whole(text) == number && PlainNumber.decimal(text) == Double(number))
    }

    /// YAML 1.1 has numbers in all of these, and not everybody the same ones.
    @Test(arguments: [
        "010", "0o10", "0x10", "0b10", "1:30", "1_000", "+5", "-0x1", "00", "1,5", "", " 1", "1 ", "٣", ".inf", "nan",
        "1e999", "~", "yes",
    ])
    func otherSpellingsAreNone(_ text: String) {
        let whole: Int? = PlainNumber.whole(text)
        #expect(whole == nil && PlainNumber.decimal(text) == nil)
    }

    @Test(arguments: [("0.5", 0.5), (".5", 0.5), ("1e-3", 0.001), ("-2.5E2", -250)])
    func fractionsAreDecimals(_ text: String, _ number: Double) {
        let whole: Int? = PlainNumber.whole(text)
        #expect(whole == nil && PlainNumber.decimal(text) == number)
    }
}
