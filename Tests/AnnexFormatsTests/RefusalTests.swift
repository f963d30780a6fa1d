import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

/// Files that are none, and archives that are not read.
@Suite struct RefusalTests {
    /// Every way in, with the file at this path.
    static func errors(_ path: String) -> [AnnexError?] {
        let ways: [() throws -> Void] = [
            { _ = try FactorSource(path).open(skipBadRows: true) },
            { _ = try IdentifierFile.read(path, skipBadRows: true) },
            { _ = try AttributeReader(path: path, skipBadRows: true) },
        ]
        return ways.map { way in #expect(throws: AnnexError.self, "\(path)") { try way() } }
    }

    static let endings = ["npy", "npy.gz", "npz", "fvecs", "csv", "tsv", "jsonl", "vec", "w2v"]

    @Test(arguments: Self.endings) func aMissingFile(_ ending: String) throws {
        let folder = try TemporaryFolder()
        for path in [folder.file("none.\(ending)"), folder.file("none/x.\(ending)")] {
            for error in Self.errors(path) {
                #expect(error?.code == .notFound && error?.location == path)
                #expect(error?.message.hasPrefix("cannot open: ") == true)
                #expect(error?.hint?.contains("Check the name") == true)
            }
        }
    }

    /// At once: nobody ever writes into the FIFO.
    @Test(.timeLimit(.minutes(10)), arguments: Self.endings) func noRegularFile(_ ending: String) throws {
        let folder = try TemporaryFolder()
        let fifo = folder.file("fifo.\(ending)")
        try #require(mkfifo(fifo, 0o600) == 0)
        let directory = folder.file("folder.\(ending)")
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        let device = folder.file("device.\(ending)")
        try FileManager.default.createSymbolicLink(atPath: device, withDestinationPath: "/dev/zero")
        for (path, word) in [(fifo, "FIFO"), (directory, "folder"), (device, "device")] {
            for error in Self.errors(path) {
                #expect(error?.code == .badInput && error?.location == path)
                #expect(error?.message.contains(word) == true)
            }
        }
    }

    @Test func namesThatSayGzipWrongly() throws {
        let folder = try TemporaryFolder()
        let npy = TestFiles.npy("<f4", fortran: false, DamageTests.floats([1, 2]), shape: "(1, 2)")
        for (name, data, word) in [
            ("x.csv.gz", Data("a,1\n".utf8), "not gzipped"), ("x.npy.gz", npy, "not gzipped"),
            ("e.csv.gz", Data(), "not gzipped"), ("x.csv", TestFiles.gzip(Data("a,1\n".utf8)), "is gzipped"),
            ("x.npy", TestFiles.gzip(npy), "is gzipped"), ("ids.txt", TestFiles.gzip(Data("a\n".utf8)), "is gzipped"),
        ] {
            let path = try folder.write(name, data)
            for error in Self.errors(path) {
                #expect(error?.code == .badInput && error?.location == path)
                #expect(error?.message.contains(word) == true, "\(name): \(error.map { "\($0)" } ?? "")")
            }
        }
    }

    @Test func archives() throws {
        let folder = try TemporaryFolder()
        let npy = TestFiles.npy("<f4", fortran: false, DamageTests.floats([1, 2]), shape: "(1, 2)")
        for wide in [false, true] {
            let plain = TestFiles.npz("x.npy", npy, deflated: true, wide: wide)
            #expect(try ReadFile(try folder.write("plain.npz", plain)).rows == [[1, 2]])
        }
        for flag in [1, 0x41, 0x2000] {
            let path = try folder.write("secret.npz", TestFiles.npz("x.npy", npy, deflated: true, flags: flag))
            let error = #expect(throws: AnnexError.self) { try ReadFile(path) }
            #expect(error?.message.contains("'x' is encrypted") == true && error?.location == path)
        }
        let gzipped = try folder.write("x.npz.gz", TestFiles.gzip(TestFiles.npz("x.npy", npy, deflated: false)))
        for specification in [gzipped, gzipped + ":x"] {
            let error = #expect(throws: AnnexError.self) { try ReadFile(specification) }
            #expect(error?.message.contains("gzipped .npz") == true && error?.location == gzipped)
            let other = #expect(throws: AnnexError.self) { try IdentifierFile.read(specification, skipBadRows: false) }
            #expect(other == error)
        }
    }

    @Test(arguments: [
        " x", "}", "{'descr': '<f4'}", "\n", " # shape", ", ", "\u{0}", "\t",
    ])
    func junkBehindTheHeader(_ behind: String) throws {
        let folder = try TemporaryFolder()
        let body = DamageTests.floats([1, 2])
        #expect(
            try ReadFile(try folder.write("x.npy", TestFiles.npy("<f4", fortran: false, body, shape: "(1, 2)"))).rows
                == [[1, 2]]
        )
        let bent = TestFiles.npy("<f4", fortran: false, body, shape: "(1, 2)", behind: behind)
        let path = try folder.write("x.npy", bent)
        let error = #expect(throws: AnnexError.self) { try ReadFile(path) }
        #expect(error?.code == .badInput && error?.message.contains("header") == true)
    }

    @Test func aNameThatComesTwiceInTheHeader() throws {
        let folder = try TemporaryFolder()
        let bent = TestFiles.npy("<f4', 'descr': '<f4", fortran: false, DamageTests.floats([1, 2]), shape: "(1, 2)")
        let path = try folder.write("x.npy", bent)
        #expect(throws: AnnexError.self) { try ReadFile(path) }
    }
}
