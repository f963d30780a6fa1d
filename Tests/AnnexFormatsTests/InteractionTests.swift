import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

/// Interactions as trainers leave them: CSR matrices of SciPy, and text.
@Suite struct InteractionTests {
    /// The matrix [[2, 0, 3], [0, 0, 0], [0, 5, 0], [0, 0, 0]], member by member.
    private struct Matrix {
        var format = TestFiles.npy("|S3", fortran: false, Data("csr".utf8), shape: "()")
        var shape = TestFiles.npy("<i8", fortran: false, Self.integers([4, 3], 8), shape: "(2,)")
        var pointers = TestFiles.npy("<i4", fortran: false, Self.integers([0, 2, 2, 3, 3], 4), shape: "(5,)")
        var indices = TestFiles.npy("<i4", fortran: false, Self.integers([0, 2, 1], 4), shape: "(3,)")
        var data = TestFiles.npy("<f4", fortran: false, DamageTests.floats([2, 3, 5]), shape: "(3,)")

        static func integers(_ values: [Int], _ bytes: Int) -> Data {
            values.reduce(Data()) { $0 + TestFiles.little($1, bytes) }
        }

        func file(deflated: Bool = false, leavingOut name: String? = nil) -> Data {
            let members = [
                ("indices.npy", self.indices), ("indptr.npy", self.pointers), ("format.npy", self.format),
                ("shape.npy", self.shape), ("data.npy", self.data),
            ]
            return TestFiles.npz(members.filter { $0.0 != name }, deflated: deflated)
        }
    }

    private static let expected = [
        InteractionMatrix.Entry(row: 0, column: 0, weight: 2), .init(row: 0, column: 2, weight: 3),
        .init(row: 2, column: 1, weight: 5),
    ]

    private func read(_ data: Data, skipBadRows: Bool = false) throws -> ([InteractionMatrix.Entry], [RejectedRow]) {
        let folder = try TemporaryFolder()
        let path = try folder.write("m.npz", data)
        guard case .matrix(let matrix) = try InteractionFile.open(path, skipBadRows: skipBadRows) else {
            throw AnnexError(.usage, "no matrix")
        }
        #expect(matrix.rows == 4 && matrix.columns == 3 && matrix.count == 3)
        var all: [InteractionMatrix.Entry] = []
        var block: [InteractionMatrix.Entry] = []
        while try matrix.next(&block) { all += block }
        #expect(matrix.entriesRead == 3)
        return (all, matrix.rejects)
    }

    @Test(arguments: [false, true]) func aMatrix(_ deflated: Bool) throws {
        #expect(try self.read(Matrix().file(deflated: deflated)).0 == Self.expected)
        var matrix = Matrix()
        let text = "csr".utf8.reduce(Data()) { $0 + TestFiles.little(Int($1), 4) }
        matrix.format = TestFiles.npy("<U3", fortran: false, text, shape: "()")
        #expect(try self.read(matrix.file(deflated: deflated)).0 == Self.expected, "a format as text")
    }

    @Test(arguments: ["|i1", "|u1", "<i2", ">i2", "<i4", "<u4", ">i8", "<u8"]) func weightsOfIntegers(_ type: String)
        throws
    {
        let bytes = Int(type.suffix(1)) ?? 0
        var values = Matrix.integers([2, 3, 5], bytes)
        if type.hasPrefix(">") {
            values = [2, 3, 5].reduce(Data()) { $0 + Data(TestFiles.little($1, bytes).reversed()) }
        }
        var matrix = Matrix()
        matrix.data = TestFiles.npy(type, fortran: false, values, shape: "(3,)")
        #expect(try self.read(matrix.file()).0 == Self.expected)
        guard bytes >= 4 else { return }
        matrix.indices = TestFiles.npy("<i8", fortran: false, Matrix.integers([0, 2, 1], 8), shape: "(3,)")
        matrix.pointers = TestFiles.npy("<i8", fortran: false, Matrix.integers([0, 2, 2, 3, 3], 8), shape: "(5,)")
        #expect(try self.read(matrix.file()).0 == Self.expected)
    }

    @Test func weightsOfOtherKinds() throws {
        var matrix = Matrix()
        matrix.data = TestFiles.npy("|b1", fortran: false, Data([1, 1, 0]), shape: "(3,)")
        #expect(try self.read(matrix.file()).0.map(\.weight) == [1, 1, 0])
        matrix.data = TestFiles.npy("|i1", fortran: false, Data([0xff, 1, 0x80]), shape: "(3,)")
        #expect(try self.read(matrix.file()).0.map(\.weight) == [-1, 1, -128])
        let doubles = [2, 3, 5].reduce(Data()) { $0 + TestFiles.little(Int(Double($1).bitPattern), 8) }
        matrix.data = TestFiles.npy("<f8", fortran: false, doubles, shape: "(3,)")
        #expect(try self.read(matrix.file()).0 == Self.expected)
    }

    @Test func weightsThatAreNoNumbers() throws {
        var matrix = Matrix()
        matrix.data = TestFiles.npy("<f4", fortran: false, DamageTests.floats([2, .nan, .infinity]), shape: "(3,)")
        let error = #expect(throws: AnnexError.self) { try self.read(matrix.file()) }
        #expect(error?.location?.hasSuffix("m.npz:1") == true && error?.message.contains("column 2") == true)
        let (entries, rejects) = try self.read(matrix.file(), skipBadRows: true)
        #expect(entries.count == 1 && rejects.map(\.row) == [1, 3])
    }

    @Test(arguments: ["csc", "coo", "bsr", "dia", "\u{1b}[2"]) func otherFormats(_ format: String) throws {
        var matrix = Matrix()
        matrix.format = TestFiles.npy("|S3", fortran: false, Data(format.utf8), shape: "()")
        let error = #expect(throws: AnnexError.self) { try self.read(matrix.file()) }
        #expect(error?.code == .badInput && error?.hint?.contains("tocsr()") == true)
        #expect(error?.message.contains(Printable.escape(format)) == true)
    }

    @Test(arguments: ["format.npy", "shape.npy", "indptr.npy", "indices.npy", "data.npy"])
    func aMemberThatIsMissing(_ name: String) throws {
        let error = #expect(throws: AnnexError.self) { try self.read(Matrix().file(leavingOut: name)) }
        #expect(error?.code == .badInput && error?.message.contains(name.dropLast(4)) == true)
    }

    @Test func arraysThatContradictEachOther() throws {
        func with(_ change: (inout Matrix) -> Void) -> Data {
            var matrix = Matrix()
            change(&matrix)
            return matrix.file()
        }
        func pointers(_ values: [Int]) -> Data {
            TestFiles.npy("<i4", fortran: false, Matrix.integers(values, 4), shape: "(\(values.count),)")
        }
        func indices(_ values: [Int]) -> Data { pointers(values) }
        let wrong: [Data] =
            [
                [0, 2, 1, 3, 3], [1, 2, 2, 3, 3], [0, 2, 2, 3, 4], [0, 2, 2, 2, 2], [0, 2, 2, 3], [0, 9, 9, 9, 9],
                [0, -1, 2, 3, 3],
            ].map { values in with { $0.pointers = pointers(values) } }
            + [[0, 3, 1], [-1, 2, 1], [0, 2], [0, 2, 1, 1]].map { values in with { $0.indices = indices(values) } }
            + [
                with { $0.shape = TestFiles.npy("<i8", fortran: false, Matrix.integers([4], 8), shape: "(1,)") },
                with { $0.shape = TestFiles.npy("<i8", fortran: false, Matrix.integers([-4, 3], 8), shape: "(2,)") },
                with {
                    $0.shape = TestFiles.npy("<i8", fortran: false, Matrix.integers([1 << 40, 3], 8), shape: "(2,)")
                },
                with {
                    $0.indices = TestFiles.npy("<f4", fortran: false, DamageTests.floats([0, 2, 1]), shape: "(3,)")
                },
                with { $0.data = TestFiles.npy("|S1", fortran: false, Data("abc".utf8), shape: "(3,)") },
                with { $0.data.removeLast() }, with { $0.data.append(0) }, with { $0.pointers.removeLast() },
            ]
        for (number, data) in wrong.enumerated() {
            let folder = try TemporaryFolder()
            let path = try folder.write("m.npz", data)
            let error = #expect(throws: AnnexError.self, "\(number)") {
                guard case .matrix(let matrix) = try InteractionFile.open(path, skipBadRows: true) else { return }
                var block: [InteractionMatrix.Entry] = []
                while try matrix.next(&block) {}
            }
            #expect(error?.code == .badInput && error?.location?.contains("m.npz") == true)
        }
    }

    // MARK: Text

    private func lines(
        _ name: String,
        _ data: Data,
        skipBadRows: Bool = false
    ) throws -> ([InteractionEntry], [RejectedRow]) {
        let folder = try TemporaryFolder()
        let path = try folder.write(name, data)
        guard case .text(let text) = try InteractionFile.open(path, skipBadRows: skipBadRows) else {
            throw AnnexError(.usage, "no text")
        }
        var all: [InteractionEntry] = []
        while let entry = try text.next() { all.append(entry) }
        return (all, text.rejects)
    }

    @Test func textWithAndWithoutColumns() throws {
        let text = "a\tx\n\nb\ty\t2.5\nb\tz\t-1\t1700000000000\r\ncafe\u{301}\tx"
        for (name, data) in [("h.tsv", Data(text.utf8)), ("h.tsv.gz", TestFiles.gzip(Data(text.utf8)))] {
            let (entries, rejects) = try self.lines(name, data)
            #expect(entries.map(\.user.description) == ["a", "b", "b", "cafe\u{301}"] && rejects.isEmpty)
            #expect(entries.map(\.item.description) == ["x", "y", "z", "x"])
            #expect(entries.map(\.weight) == [1, 2.5, -1, 1] && entries.map(\.row) == [0, 2, 3, 4])
            #expect(entries.map(\.time) == [nil, nil, 1_700_000_000_000, nil])
        }
        let csv = try self.lines("h.csv", Data("user_id,movieId,rating,timestamp\n\"a,b\",x,4,7\n".utf8)).0
        #expect(csv.map(\.user.description) == ["a,b"] && csv.first?.weight == 4 && csv.first?.row == 1)
    }

    @Test(
        arguments: [
            ("user\titem\n", 0), ("User_ID\tItem-ID\n", 0), ("session\tproduct\n", 0), ("uid\tsku\n", 0),
            ("0ad\tlibgrid\n", 1),
            ("user\tlibc6\n", 1), ("squid\tlibpid\n", 1), ("user\n", nil),
        ] as [(String, Int?)]
    )
    func headings(_ line: String, _ entries: Int?) throws {
        guard let entries else {
            #expect(throws: AnnexError.self) { try self.lines("h.tsv", Data(line.utf8)) }
            return
        }
        #expect(try self.lines("h.tsv", Data(line.utf8)).0.count == entries)
        #expect(try self.lines("h.tsv", Data(("a\tb\n" + line).utf8)).0.count == 2, "only the first line is a heading")
    }

    @Test(
        arguments: [
            ("a", nil, "fields"), ("a\tb\t1\t2\t3", nil, "fields"), ("\tb", 1, "empty"), ("a\t", 2, "empty"),
            ("a\tb\tmuch", 3, "number"), ("a\tb\t", 3, "number"), ("a\tb\tnan", 3, "finite"),
            ("a\tb\t1e39", 3, "infinite"),
            ("a\tb\t1\tsoon", 4, "time"), ("a\tb\t1\t-5", 4, "time"), ("a\tb\t1\t1.5", 4, "time"),
            ("\"a\tb", nil, "quote"),
        ] as [(String, Int?, String)]
    )
    func badLines(_ line: String, _ column: Int?, _ word: String) throws {
        let data = Data("u\ti\n\(line)\nu\tj\n".utf8)
        let error = #expect(throws: AnnexError.self) { try self.lines("h.tsv", data) }
        #expect(error?.location?.hasSuffix(column.map { "h.tsv:2:\($0)" } ?? "h.tsv:2") == true, "\(error!)")
        #expect(error?.message.contains(word) == true, "\(error!)")
        let (entries, rejects) = try self.lines("h.tsv", data, skipBadRows: true)
        #expect(entries.count == 2 && rejects.map(\.row) == [2] && rejects.map(\.column) == [column])
    }

    @Test func endingsThatSayNothing() throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: AnnexError.self) {
            try InteractionFile.open(folder.write("h.parquet", "x"), skipBadRows: false)
        }
        #expect(error?.hint?.contains(".tsv") == true)
        for name in ["h.tsv", "h.npz"] {
            let missing = #expect(throws: AnnexError.self) {
                try InteractionFile.open(folder.file(name), skipBadRows: false)
            }
            #expect(missing?.code == .notFound)
        }
        #expect(try self.lines("h.tsv", Data()).0.isEmpty)
    }
}
