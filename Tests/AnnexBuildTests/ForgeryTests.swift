import AnnexBuild
import AnnexCore
import AnnexTestSupport
import Foundation
import Testing

/// A version whose manifest somebody wrote anew, with checksums and the folder's name made to fit.
private final class Forgery {
    let index: BuiltIndex
    let original: Data
    private(set) var folder: String

    init() throws {
        self.index = try BuiltIndex(items: 60, users: 10)
        self.folder = try self.index.build().folder
        self.original = try Data(contentsOf: URL(fileURLWithPath: self.folder + "/" + VersionLayout.manifest))
    }

    /// Returns the error that `verify` gives; nil where it takes the forgery.
    func verify(_ manifest: Data) throws -> AnnexError? {
        let hash = FileHash.sha256(manifest)
        try manifest.write(to: URL(fileURLWithPath: self.folder + "/" + VersionLayout.manifest))
        try Data("\(hash)  \(VersionLayout.manifest)\n".utf8)
            .write(to: URL(fileURLWithPath: self.folder + "/" + VersionLayout.manifestSum))
        let name = try #require(EntryName("20240229T000000Z-" + hash.prefix(8)))
        let target = PublishedVersions.folder(of: self.index.indexFolder, name)
        if target != self.folder { try FileManager.default.moveItem(atPath: self.folder, toPath: target) }
        self.folder = target
        do throws(AnnexError) {
            _ = try Verifier.verify(indexFolder: self.index.indexFolder, version: name)
        } catch {
            return error
        }
        return nil
    }

    func verify(_ change: (inout [String: Any]) -> Void) throws -> AnnexError? {
        var object = try #require(try JSONSerialization.jsonObject(with: self.original) as? [String: Any])
        change(&object)
        return try self.verify(try JSONSerialization.data(withJSONObject: object))
    }
}

@Suite struct ForgeryTests {
    @Test func theManifestItselfPasses() throws {
        let forgery = try Forgery()
        #expect(try forgery.verify { _ in } == nil)
    }

    @Test(arguments: [
        "format", "items", "users", "dimension", "storedDimension", "itemsWithAttributes", "rejectedRows",
    ])
    func impossibleCounts(_ field: String) throws {
        let forgery = try Forgery()
        for value in [-1, 0, Int.max, Int.min, Int(Int32.max) + 1]
        where !(value == 0 && ["itemsWithAttributes", "rejectedRows"].contains(field)) {
            if field == "rejectedRows", value > 0 { continue }
            let error = try forgery.verify { $0[field] = value }
            #expect(
                error?.code == .damaged && error?.location?.contains(VersionLayout.manifest) == true,
                "\(field) \(value)"
            )
        }
    }

    @Test(arguments: [0, 16, 17]) func sizesWhoseSumOverflows(_ place: Int) throws {
        let forgery = try Forgery()
        for bytes in [Int.max, Int.max - 1, -1, 1 << 51] {
            let error = try forgery.verify { object in
                var files = object["files"] as? [[String: Any]] ?? []
                for index in files.indices where index >= place { files[index]["bytes"] = bytes }
                object["files"] = files
            }
            #expect(error?.code == .damaged, "\(bytes)")
        }
    }

    @Test(arguments: ["../../etc/passwd", "/etc/passwd", "users/../../x", "", "index.faiss\u{0}", "report.json"])
    func listedNames(_ name: String) throws {
        let forgery = try Forgery()
        let error = try forgery.verify { object in
            var files = object["files"] as? [[String: Any]] ?? []
            files[0]["path"] = name
            object["files"] = files
        }
        #expect(error?.code == .damaged)
    }

    /// An effort that the kind does not have, or beyond what a query may ask.
    @Test func impossibleOperatingPoints() throws {
        let forgery = try Forgery()
        for (knob, value) in [("efSearch", -1), ("efSearch", 65_537), ("nprobe", 4), ("exact", 0), ("\u{1b}[31m", 16)] {
            let error = try forgery.verify { object in
                var measured = object["measured"] as? [String: Any] ?? [:]
                var chosen = measured["chosen"] as? [String: Any] ?? [:]
                chosen["knob"] = knob
                chosen["value"] = value
                measured["chosen"] = chosen
                measured["table"] = [chosen]
                object["measured"] = measured
            }
            #expect(error?.code == .damaged, "\(knob) \(value)")
        }
    }

    /// Nothing that a terminal would obey comes out of a manifest or of an error about it.
    @Test func controlCharacters() throws {
        let forgery = try Forgery()
        let escape = "\u{1b}]0;x\u{7}"
        let changes: [(inout [String: Any]) -> Void] = [
            { $0["kind"] = escape }, { $0["index"] = escape }, { $0["metric"] = escape },
            { $0["recipe"] = ["vectors": escape] },
            { $0["recipe"] = [escape: "x"] },
            {
                $0["sources"] = [
                    ["role": "vectors", "file": escape, "bytes": 1, "sha256": String(repeating: "0", count: 64)]
                ]
            },
        ]
        for change in changes {
            let error = try forgery.verify(change)
            #expect(error?.code == .damaged)
            #expect(error?.description.unicodeScalars.allSatisfy { $0.value >= 0x20 } == true)
        }
    }

    /// Seeded damage of the text, with checksums that fit: refused or harmless, and never a trap.
    @Test func damagedTextWithGoodChecksums() throws {
        let forgery = try Forgery()
        var random = SeededRandom(seed: BuiltIndex.seed)
        var refused = 0
        let tries = 600
        for turn in 0..<tries {
            var data = forgery.original
            switch turn % 4 {
            case 0: data[Int.random(in: 0..<data.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            case 1: data = data.prefix(Int.random(in: 0..<data.count, using: &random))
            case 2:
                let start = Int.random(in: 0..<data.count, using: &random)
                data.insert(
                    contentsOf: data[start..<min(data.count, start + 40)],
                    at: Int.random(in: 0..<data.count, using: &random)
                )
            default:
                let digits = data.indices.filter { (48...57).contains(data[$0]) }
                let place = digits[Int.random(in: 0..<digits.count, using: &random)]
                data.replaceSubrange(place...place, with: Data("9223372036854775807".utf8))
            }
            if let error = try forgery.verify(data) {
                refused += 1
                #expect([.damaged, .notFound].contains(error.code), "\(error)")
            }
        }
        #expect(refused > tries / 2)
        print("damagedTextWithGoodChecksums: seed \(BuiltIndex.seed), \(tries) forgeries, \(refused) refused, 0 traps")
    }

    @Test func textsThatAreNoManifest() throws {
        let forgery = try Forgery()
        let deep = String(repeating: "[", count: 100_000)
        for text in [
            "", "null", "[]", "{}", "{\"format\":1}", "{\"format\":1e999}", "{\"format\":\"1\"}", deep,
            "{\"a\":" + deep,
        ] {
            #expect(try forgery.verify(Data(text.utf8))?.code == .damaged, "\(text.prefix(20))")
        }
        #expect(try forgery.verify(Data([0xff, 0xfe, 0x00, 0xd8]))?.code == .damaged)
        #expect(try forgery.verify(Data(repeating: 0x20, count: 2 << 20))?.code == .damaged)
    }
}

@Suite struct TreeTests {
    private func expectRefused(
        _ index: BuiltIndex,
        naming file: String,
        _ sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let error = #expect(throws: AnnexError.self, sourceLocation: sourceLocation) {
            try Verifier.verify(indexFolder: index.indexFolder)
        }
        #expect(
            error?.location?.hasSuffix(file) == true,
            "\(error.map { "\($0)" } ?? "")",
            sourceLocation: sourceLocation
        )
    }

    @Test func aLinkInPlaceOfTheUsersFolder() throws {
        let index = try BuiltIndex(items: 60, users: 10)
        let users = try index.build().folder + "/" + VersionLayout.users
        try FileManager.default.moveItem(atPath: users, toPath: index.folder.file("elsewhere"))
        try FileManager.default.createSymbolicLink(atPath: users, withDestinationPath: index.folder.file("elsewhere"))
        self.expectRefused(index, naming: "users")
    }

    @Test func aReportThatIsALink() throws {
        let index = try BuiltIndex(items: 60, users: 10)
        let report = try index.build().folder + "/" + VersionLayout.report
        try FileManager.default.removeItem(atPath: report)
        _ = try Verifier.verify(indexFolder: index.indexFolder)
        try FileManager.default.createSymbolicLink(atPath: report, withDestinationPath: "/dev/zero")
        self.expectRefused(index, naming: VersionLayout.report)
    }

    /// Opening a pipe would wait for a writer for ever, reading a sparse file would fill the memory.
    @Test(arguments: [VersionLayout.manifest, VersionLayout.manifestSum, VersionLayout.index, "users/03.lmdb"])
    func pipesAndHugeFiles(_ file: String) throws {
        let index = try BuiltIndex(items: 60, users: 10)
        let path = try index.build().folder + "/" + file
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.truncate(atOffset: 1 << 40)
        try handle.close()
        self.expectRefused(index, naming: file)
        try FileManager.default.removeItem(atPath: path)
        try #require(mkfifo(path, 0o600) == 0)
        self.expectRefused(index, naming: file)
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        self.expectRefused(index, naming: file)
    }

    @Test func aVersionUnderAnotherName() throws {
        let index = try BuiltIndex(items: 60, users: 10)
        let folder = try index.build().folder
        for name in ["20240101T000000Z-00000000", "copy", "x-" + folder.suffix(8)] {
            let target = index.indexFolder + "/versions/" + name
            try FileManager.default.copyItem(atPath: folder, toPath: target)
            let version = try #require(EntryName(name))
            #expect(throws: AnnexError.self) { try Verifier.verify(indexFolder: index.indexFolder, version: version) }
            try FileManager.default.removeItem(atPath: target)
        }
    }

    @Test func aChangeWhoseTimeWasSetBackIsNoticed() throws {
        let index = try BuiltIndex(items: 60, users: 10)
        let path = try index.build().folder + "/" + VersionLayout.items
        let verified = try Verifier.verify(indexFolder: index.indexFolder)
        let before = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seek(toOffset: 5_000)
        try handle.write(contentsOf: Data([1, 2, 3]))
        try handle.close()
        try FileManager.default.setAttributes([.modificationDate: try #require(before)], ofItemAtPath: path)
        let error = #expect(throws: AnnexError.self) { try verified.confirmUnchanged() }
        #expect(error?.location == path)
    }
}
