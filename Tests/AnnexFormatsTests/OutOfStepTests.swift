import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

/// word2vec's formats with blanks in words, and damaged: a reader that is out of step must not go on.
@Suite struct OutOfStepTests {
    private static func binary(_ words: [String], _ rows: [[Float]], lineEnds: Bool) -> Data {
        zip(words, rows).reduce(Data("\(words.count) \(rows[0].count)\n".utf8)) { file, row in
            file + Data((row.0 + " ").utf8) + DamageTests.floats(row.1) + Data(lineEnds ? "\n".utf8 : "".utf8)
        }
    }

    /// Random rows as training leaves them, and tidy ones, whose bytes are text: one word has a blank.
    @Test(arguments: [false, true], [3, 16]) func aBlankInAWord(_ lineEnds: Bool, _ dimension: Int) throws {
        let folder = try TemporaryFolder()
        var random = SeededRandom(seed: 20_261_129)
        var tried = 0
        for turn in 0..<400 {
            let isTidy = turn % 4 == 0
            let rows = (0..<12).map { _ in
                (0..<dimension).map { _ in isTidy ? Float(random.below(8)) / 2 : random.normal() }
            }
            let place = random.below(12)
            var words = (0..<12).map { "w\($0)" }
            words[place] = ["New York", "a b", "at name@domain.com", "Zürich HB", ". . ."][random.below(5)]
            let path = try folder.write("x.w2v", Self.binary(words, rows, lineEnds: lineEnds))
            for skip in [false, true] {
                let error = #expect(throws: AnnexError.self, "\(words[place]) \(turn)") {
                    try ReadFile(path, FactorRules(skipBadRows: skip, metric: .ip))
                }
                tried += 1
                #expect(error?.location == "\(path):\(place + 1)", "\(String(describing: error)) at \(place + 1)")
            }
        }
        print("blanks in words, line ends \(lineEnds), \(dimension) components: \(tried) files refused, 0 read")
    }

    @Test func goodFilesOfBothKinds() throws {
        let folder = try TemporaryFolder()
        let rows: [[Float]] = [[1, 2], [3, 4], [5, 6]]
        for lineEnds in [false, true] {
            let data = Self.binary(["a", "é", "12\"x"], rows, lineEnds: lineEnds)
            for tail in [Data(), Data("\n".utf8)] {
                let file = try ReadFile(folder.write("x.w2v", data + tail))
                #expect(file.rows == rows && file.ids == ["a", "é", "12\"x"])
            }
            guard lineEnds else { continue }
            #expect(
                try ReadFile(folder.write("x.w2v", data.dropLast())).rows == rows,
                "no line end at the end of the file"
            )
        }
    }

    /// Bytes of numbers may look like text up to a blank: no good row is taken for one with a blank.
    @Test(arguments: [1, 2, 3, 8]) func goodFilesOfManyRows(_ dimension: Int) throws {
        let folder = try TemporaryFolder()
        var random = SeededRandom(seed: 20_261_130)
        for scale in [1, 1e-6, 1e6] as [Float] {
            for _ in 0..<3 {
                // Factors, some of them 0, some near it.
                let rows = (0..<1_000).map { row in
                    (0..<dimension).map { _ in
                        scale * random.normal() * [1, 1, 1, 0, 0.01][(row + random.below(5)) % 5]
                    }
                }
                let data = Self.binary((0..<1_000).map { "word\($0)" }, rows, lineEnds: false)
                let file = try ReadFile(folder.write("x.w2v", data), FactorRules(metric: .ip))
                #expect(file.rows == rows && file.ids.count == 1_000)
            }
        }
    }

    /// Behind a line end a bad word is a bad row, which can be left out.
    @Test func aWordThatIsBadByItself() throws {
        let folder = try TemporaryFolder()
        let rows: [[Float]] = [[1, 2], [3, 4], [5, 6]]
        let long = String(repeating: "x", count: 256)
        let path = try folder.write("x.w2v", Self.binary(["a", long, "c"], rows, lineEnds: true))
        #expect(#expect(throws: AnnexError.self) { try ReadFile(path) }?.location == path + ":2")
        let file = try ReadFile(path, skipBadRows: true)
        #expect(file.ids == ["a", "c"] && file.rejects.map(\.row) == [2])
    }

    /// Where rows have line ends.
    @Test func oneByteMoreOrLess() throws {
        let folder = try TemporaryFolder()
        var random = SeededRandom(seed: 7)
        let rows = (0..<8).map { _ in (0..<6).map { _ in random.normal() } }
        let good = Self.binary((0..<8).map { "word\($0)" }, rows, lineEnds: true)
        var refused = 0
        for row in 1..<7 {
            // Within the vector of the row.
            let offset = 4 + row * (6 + 24 + 1) + 6 + 9
            for change in [[UInt8](), [0x41, 0x42]] {
                var bent = good
                bent.replaceSubrange(offset..<offset + 1, with: change)
                let path = try folder.write("x.w2v", bent)
                let error = #expect(throws: AnnexError.self) {
                    try ReadFile(path, FactorRules(skipBadRows: true, metric: .ip))
                }
                #expect(error?.location == "\(path):\(row + 1)", "\(String(describing: error))")
                refused += 1
            }
        }
        print("a byte more or less: \(refused) files refused, 0 read")
    }

    /// The text format says that words hold no blanks, and what the word seems to be.
    @Test(arguments: [
        ("3 2\na 1 2\nNew York 3 4\nc 5 6\n", ":3", "'New York'"),
        ("3 2\na 1 2\nRoute 66 3 4\nc 5 6\n", ":3", "'Route 66'"),
        ("a 1 2\nNew York 3 4\nc 5 6\n", ":2:2", "'York' is no number"),
    ])
    func textWithBlanks(_ text: String, _ place: String, _ words: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.vec", text)
        let error = #expect(throws: AnnexError.self) { try ReadFile(path) }
        #expect(
            error?.location == path + place && error?.message.contains(words) == true,
            "\(String(describing: error))"
        )
        #expect(error?.hint?.contains("hold no blanks: write _") == true)
        let mended = text.replacingOccurrences(of: "w Y", with: "w_Y").replacingOccurrences(of: "e 6", with: "e_6")
        #expect(try ReadFile(folder.write("y.vec", mended)).rows.count == 3)
    }

    /// Control bytes in ids: of a second column, of zeros.
    @Test(arguments: ["a\tTitle\nb\tOther\n", "a\u{0}\nb\n", "a\u{7f}\nb\n", "a\rb\n"])
    func controlBytes(_ text: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("ids.txt", text)
        let error = #expect(throws: AnnexError.self) { try IdentifierFile.read(path, skipBadRows: false) }
        #expect(error?.location == path + ":1" && error?.message.contains("control byte 0x") == true)
    }
}
