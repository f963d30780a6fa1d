import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

@Suite struct FortranTests {
    /// float64 in Fortran order: 4 MiB of rows make a block, so these go over several; widths around a tile of 16.
    static func data(rows: Int, columns: Int) -> Data {
        var bytes = [Double]()
        bytes.reserveCapacity(rows * columns)
        for column in 0..<columns { for row in 0..<rows { bytes.append(Self.value(row, column)) } }
        return bytes.withUnsafeBytes { Data($0) }
    }

    static func npy(_ rows: Int, _ columns: Int) -> Data {
        let body = Self.data(rows: rows, columns: columns)
        return TestFiles.npy("<f8", fortran: true, body, shape: "(\(rows), \(columns))")
    }

    static func value(_ row: Int, _ column: Int) -> Double { Double((row * 31 + column * 7_919) % 1_000_003) }

    static let shapes =
        [(1, 1), (5, 15), (40_000, 17), (2, 4_096)]
        + (TestFiles.isRelease ? [(70_001, 16), (100_003, 33), (3_000, 1_000)] : [])

    @Test(arguments: Self.shapes)
    func rowsComeOutInOrder(_ rows: Int, _ columns: Int) throws {
        let folder = try TemporaryFolder()
        let npy = Self.npy(rows, columns)
        var names = [try folder.write("x.npy", npy)]
        names.append(try folder.write("stored.npz", TestFiles.npz("x.npy", npy, deflated: false)))
        names.append(try folder.write("x.npy.gz", TestFiles.gzip(npy)))
        names.append(try folder.write("deflated.npz", TestFiles.npz("x.npy", npy, deflated: true, wide: true)))
        for name in names {
            let reader = try FactorSource(name).open(skipBadRows: false)
            var block = RowBlock()
            var row = 0
            var wrong = 0
            while try reader.next(&block) {
                #expect(block.count * columns * 4 <= 32 << 20)
                for place in 0..<block.values.count {
                    let expected = Float(Self.value(row + place / columns, place % columns))
                    if block.values[place] != expected { wrong += 1 }
                }
                row += block.count
            }
            #expect(row == rows && wrong == 0, "\(name)")
        }
    }

    @Test func badRowsAreLeftOutInPlace() throws {
        let folder = try TemporaryFolder()
        var values = (0..<60_000).map { Float($0) }  // 20 000 rows of 3, by columns
        for (row, column) in [(0, 0), (1, 2), (9_999, 1), (19_999, 2)] { values[column * 20_000 + row] = .nan }
        let path = try folder.write(
            "x.npy",
            TestFiles.npy("<f4", fortran: true, values.withUnsafeBytes { Data($0) }, shape: "(20000, 3)")
        )
        let error = #expect(throws: AnnexError.self) { try ReadFile(path) }
        #expect(error?.location == path + ":1:1")
        let file = try ReadFile(path, skipBadRows: true)
        #expect(file.rows.count == 19_996 && file.rowsRead == 20_000 && !file.numbers.contains(9_999))
        #expect(file.rejects.map(\.row) == [1, 2, 10_000, 20_000] && file.rejects.map(\.column) == [1, 3, 2, 3])
        for (row, number) in zip(file.rows, file.numbers) {
            #expect(row == [Float(number), Float(20_000 + number), Float(40_000 + number)])
        }
    }

    @Test func cutsAndTailsOfEveryPacking() throws {
        let folder = try TemporaryFolder()
        let body = Self.data(rows: 50, columns: 4)
        for (bent, word) in [(body.dropLast(1), "ends"), (body + Data([0]), "left behind")] {
            let npy = TestFiles.npy("<f8", fortran: true, Data(bent), shape: "(50, 4)")
            for (name, data) in [
                ("x.npy", npy), ("x.npy.gz", TestFiles.gzip(npy)),
                ("s.npz", TestFiles.npz("x.npy", npy, deflated: false)),
                ("d.npz", TestFiles.npz("x.npy", npy, deflated: true)),
            ] {
                let path = try folder.write(name, data)
                let error = #expect(throws: AnnexError.self, "\(name)") { try ReadFile(path) }
                #expect(error?.code == .badInput && error?.message.contains(word) == true, "\(name)")
            }
        }
        var flipped = TestFiles.npz(
            "x.npy",
            TestFiles.npy("<f8", fortran: true, body, shape: "(50, 4)"),
            deflated: false
        )
        flipped[400] ^= 1
        let path = try folder.write("f.npz", flipped)
        let error = #expect(throws: AnnexError.self) { try ReadFile(path) }
        #expect(error?.message.contains("CRC-32") == true)
    }

    /// In a process of its own: the environment belongs to all tests.
    @Test func aPackedArrayNeedsRoomInTMPDIR() async throws {
        await #expect(processExitsWith: .success) {
            let folder = try TemporaryFolder()
            let npy = FortranTests.npy(50, 4)
            let path = try folder.write("x.npy.gz", TestFiles.gzip(npy))
            let spool = folder.file("spool")
            setenv("TMPDIR", spool, 1)
            let error = #expect(throws: AnnexError.self) { try ReadFile(path) }
            #expect(error?.code == .system && error?.location == path)
            #expect(error?.message.contains(spool) == true && error?.hint?.contains("TMPDIR") == true)
            try FileManager.default.createDirectory(atPath: spool, withIntermediateDirectories: true)
            #expect(try ReadFile(path).rows.count == 50)
            #expect(try FileManager.default.contentsOfDirectory(atPath: spool).isEmpty)
        }
    }

    /// A file may not grow past 64 KiB here, as on a full disk: an error, and no signal.
    @Test func aFullDiskIsAnError() async throws {
        await #expect(processExitsWith: .success) {
            let folder = try TemporaryFolder()
            let npy = FortranTests.npy(50_000, 4)
            let packed = try folder.write("x.npz", TestFiles.npz("x.npy", npy, deflated: true))
            let plain = try folder.write("x.npy", npy)
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit(rlim_cur: 64 << 10, rlim_max: 64 << 10)
            try #require(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
            let error = #expect(throws: AnnexError.self) { try ReadFile(packed) }
            #expect(error?.code == .system && error?.location == packed)
            #expect(error?.message.contains("too large") == true && error?.hint?.contains("TMPDIR") == true)
            #expect(try ReadFile(plain).rows.count == 50_000)
        }
    }
}
