import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

/// Small files of every format, cut and bent. That whole files read as NumPy says is checked in `Tests/Clients`.
@Suite struct DamageTests {
    static let seed: UInt64 = 20_240_304
    static let rows: [[Float]] = [[1, -2.5, 3], [0.125, 4, -5], [6, 7, 8.75]]

    static func npy(_ descr: String, fortran: Bool, _ body: Data, shape: String = "(3, 3)") -> Data {
        let header = "{'descr': '\(descr)', 'fortran_order': \(fortran ? "True" : "False"), 'shape': \(shape), }"
        let padded = header.padding(toLength: 117, withPad: " ", startingAt: 0) + "\n"
        return Data([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 118, 0]) + Data(padded.utf8) + body
    }

    static func floats(_ values: [Float]) -> Data { values.withUnsafeBytes { Data($0) } }

    static var files: [(name: String, data: Data)] {
        let flat = Self.rows.flatMap { $0 }
        let columns = (0..<3).flatMap { column in Self.rows.map { $0[column] } }
        let doubles = flat.map(Double.init).withUnsafeBytes { Data($0) }
        let big = flat.map { $0.bitPattern.bigEndian }.withUnsafeBytes { Data($0) }
        var fvecs = Data()
        var binary = Data("3 3\n".utf8)
        for (number, row) in Self.rows.enumerated() {
            fvecs += Data([3, 0, 0, 0]) + Self.floats(row)
            binary += Data("w\(number) ".utf8) + Self.floats(row) + Data("\n".utf8)
        }
        return [
            ("c.npy", Self.npy("<f4", fortran: false, Self.floats(flat))),
            ("fortran.npy", Self.npy("<f4", fortran: true, Self.floats(columns))),
            ("double.npy", Self.npy("<f8", fortran: false, doubles)), ("big.npy", Self.npy(">f4", fortran: false, big)),
            ("rows.fvecs", fvecs), ("words.w2v", binary),
        ]
    }

    /// All rows of a file.
    static func read(_ path: String, skipBadRows: Bool = false) throws -> [[Float]] {
        let reader = try FactorSource(path).open(skipBadRows: skipBadRows)
        var block = RowBlock()
        var rows: [[Float]] = []
        while try reader.next(&block) {
            for row in 0..<block.count {
                rows.append(Array(block.values[row * reader.dimension..<(row + 1) * reader.dimension]))
            }
        }
        return rows
    }

    @Test func wholeFiles() throws {
        let folder = try TemporaryFolder()
        for (name, data) in Self.files {
            try data.write(to: URL(fileURLWithPath: folder.file(name)))
            #expect(try Self.read(folder.file(name)) == Self.rows, "\(name)")
        }
    }

    @Test func everyTruncationIsAnError() throws {
        let folder = try TemporaryFolder()
        var cuts = 0
        for (name, data) in Self.files {
            // word2vec's last line end may be missing; fvecs may end between rows.
            let harmless = name.hasSuffix(".w2v") ? [data.count - 1] : name.hasSuffix(".fvecs") ? [16, 32] : []
            for length in 0..<data.count where !harmless.contains(length) {
                try data.prefix(length).write(to: URL(fileURLWithPath: folder.file(name)))
                #expect(throws: AnnexError.self, "\(name) cut to \(length)") { try Self.read(folder.file(name)) }
                cuts += 1
            }
        }
        print("everyTruncationIsAnError: \(cuts) cuts, all refused")
    }

    @Test func flippedBytesNeverTrapAndNeverGiveWhatIsNotFinite() throws {
        let folder = try TemporaryFolder()
        var random = SeededRandom(seed: Self.seed)
        var refused = 0
        let rounds = 3_000
        for round in 0..<rounds {
            let (name, whole) = Self.files[round % Self.files.count]
            var data = whole
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                data[Int.random(in: 0..<data.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            try data.write(to: URL(fileURLWithPath: folder.file(name)))
            do {
                let rows = try Self.read(folder.file(name), skipBadRows: round % 2 == 0)
                #expect(rows.allSatisfy { $0.allSatisfy(\.isFinite) })
            } catch is AnnexError { refused += 1 }
        }
        print("flippedBytes: seed \(Self.seed), \(rounds) files, \(refused) refused")
        #expect(refused > 0 && refused < rounds)
    }

    static var texts: [(name: String, data: Data)] {
        let csv = "id,f0,f1\n1,1.5,-2e3\n\n\"b,\"\"c\",3,0.25\nd,nan,1\ne,4,5,6\nf,7,8\n"
        let json =
            "{\"id\":1,\"vector\":[1.5,-2e3]}\n{\"vector\":[1],\"id\":\"\\u00e9\"}\n\n"
            + "{\"id\":2,\"vector\":[3,4]}\n"
        let npy = Self.files[1].data
        return [
            ("x.csv", Data(csv.utf8)), ("x.tsv", Data(csv.replacing(",", with: "\t").utf8)),
            ("x.csv.gz", TestFiles.gzip(Data(csv.utf8))), ("x.jsonl", Data(json.utf8)),
            ("x.vec", Data("3 2\na 1 2\nb 3\nc 4 5e-1\n".utf8)), ("glove.vec", Data("a 1 2\n\nb 3 4\n".utf8)),
            ("d.npz", TestFiles.npz("x.npy", npy, deflated: true)), ("f.npy.gz", TestFiles.gzip(npy)),
            ("s.npz", TestFiles.npz("x.npy", npy, deflated: false, wide: true)),
        ]
    }

    /// Nothing traps, and every row is handed out or noted, once and in order.
    @Test func bentTextsAndArchivesAccountForEveryRow() throws {
        let folder = try TemporaryFolder()
        var random = SeededRandom(seed: Self.seed + 1)
        let letters = Array("\"\\,\t\n\r {}[]:.-+e019nuIN".utf8) + [0, 0xff, 0xc3]
        var refused = 0
        let rounds = TestFiles.isRelease ? 4_500 : 300
        for round in 0..<rounds {
            let (name, whole) = Self.texts[round % Self.texts.count]
            var data = whole
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<data.count, using: &random)
                data[place] = letters[Int.random(in: 0..<letters.count, using: &random)]
            }
            if round % 5 == 0 { data = data.prefix(Int.random(in: 0...data.count, using: &random)) }
            let path = try folder.write(name, data)
            do {
                let file = try ReadFile(path, skipBadRows: true)
                #expect(file.rows.count == file.numbers.count && file.rows.count == file.lines.count)
                #expect(file.rows.count + file.rejects.count == file.rowsRead, "round \(round)")
                #expect(Set(file.lines.map { $0 + 1 }).isDisjoint(with: file.rejects.map(\.row)))
                #expect(file.numbers == file.numbers.sorted() && Set(file.numbers).count == file.numbers.count)
                #expect(file.rows.allSatisfy { $0.allSatisfy(\.isFinite) && $0.count == file.rows.first?.count })
                // Without bad rows, the same file reads the same or not at all.
                if file.rejects.isEmpty { #expect(try ReadFile(path).rows == file.rows) }
            } catch is AnnexError { refused += 1 }
        }
        print("bentTexts: seed \(Self.seed + 1), \(rounds) files, \(refused) refused")
        #expect(refused > 0 && refused < rounds)
    }

    @Test(arguments: [
        ("<f4", "(3,)", "axes"), ("<f4", "(3, 3, 1)", "axes"), ("<i8", "(3, 3)", "float"), ("<c8", "(3, 3)", "dtype"),
        ("<f4", "(0, 3)", "no rows"), ("<f4", "(3, 0)", "columns"), ("<f4", "(1, 4097)", "columns"),
        ("<f4", "(99999999999, 9)", "shape"), ("<f4", "(99999999999999999999, 9)", "header"),
        ("<f4", "(-3, 3)", "header"),
    ])
    func npyHeadersAreChecked(_ descr: String, _ shape: String, _ word: String) throws {
        let folder = try TemporaryFolder()
        let data = Self.npy(descr, fortran: false, Self.floats(Self.rows.flatMap { $0 }), shape: shape)
        try data.write(to: URL(fileURLWithPath: folder.file("x.npy")))
        let error = #expect(throws: AnnexError.self) { try Self.read(folder.file("x.npy")) }
        #expect(error?.description.contains(word) == true, "\(error.map { "\($0)" } ?? "")")
    }

    @Test func wordToVecTextMustHaveTheRowsThatItSays() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("x.vec")
        for (text, good) in [
            ("2 3\na 1 2 3\nb 4 5 6\n", true), ("a 1 2 3\nb 4 5 6\n", true), ("2 3\na\t1\t2\t3\nb 4 5 6", true),
            ("3 3\na 1 2 3\nb 4 5 6\n", false), ("2 4\na 1 2 3\nb 4 5 6\n", false),
        ] {
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            if good {
                #expect(try Self.read(path) == [[1, 2, 3], [4, 5, 6]])
            } else {
                #expect(throws: AnnexError.self) { try Self.read(path) }
            }
        }
    }

    @Test(arguments: [
        "movieId,f0,f1\n7,1,2\n8,3,4\n", "\u{feff}id,f0,f1\n7,1,2\n8,3,4\n", "item,f0,f1\n7,1,2\n8,3,4\n",
        "a,1,2\nb,3,4\n",
    ])
    func csvColumnsOfIds(_ text: String) throws {
        let folder = try TemporaryFolder()
        try text.write(toFile: folder.file("x.csv"), atomically: true, encoding: .utf8)
        #expect(try FactorSource(folder.file("x.csv")).open(skipBadRows: false).carriesIdentifiers)
        #expect(try Self.read(folder.file("x.csv")) == [[1, 2], [3, 4]])
    }

    @Test func trailingBytesAreAnError() throws {
        let folder = try TemporaryFolder()
        for (name, data) in Self.files {
            try (data + Data([7])).write(to: URL(fileURLWithPath: folder.file(name)))
            #expect(throws: AnnexError.self, "\(name)") { try Self.read(folder.file(name)) }
        }
    }

    @Test(arguments: [
        ("NaN", Float.nan, 2, 3), ("infinity", Float.infinity, 1, 1), ("minus infinity", -Float.infinity, 3, 2),
    ])
    func notFiniteIsNamedByRowAndColumn(_ what: String, _ value: Float, _ row: Int, _ column: Int) throws {
        let folder = try TemporaryFolder()
        var rows = Self.rows
        rows[row - 1][column - 1] = value
        let path = folder.file("x.npy")
        try Self.npy("<f4", fortran: false, Self.floats(rows.flatMap { $0 })).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: AnnexError.self) { try Self.read(path) }
        #expect(error?.location == "\(path):\(row):\(column)")
        #expect(try Self.read(path, skipBadRows: true).count == 2)
    }

    @Test func idsAreChecked() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("ids.txt")
        for (bad, reason) in [
            (Data(), "empty"), (Data(repeating: 0x61, count: 256), "256"), (Data([0xff, 0xfe]), "UTF-8"),
        ] {
            try (Data("a\n".utf8) + bad + Data("\nb\n".utf8)).write(to: URL(fileURLWithPath: path))
            let error = #expect(throws: AnnexError.self) { try IdentifierFile.read(path, skipBadRows: false) }
            #expect(error?.location == path + ":2" && error?.message.contains(reason) == true)
            #expect(try IdentifierFile.read(path, skipBadRows: true) == [Identifier("a"), nil, Identifier("b")])
        }
        try Data(repeating: 0x62, count: 255).write(to: URL(fileURLWithPath: path))
        #expect(try IdentifierFile.read(path, skipBadRows: false).count == 1, "255 bytes are an id")
    }
}
