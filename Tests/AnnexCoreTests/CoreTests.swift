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
}
