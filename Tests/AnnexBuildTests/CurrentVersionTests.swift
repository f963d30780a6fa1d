import AnnexBuild
import AnnexCore
import AnnexTestSupport
import Foundation
import Testing

/// What `current` may be after a copy by tools that carry no links, and the way back.
@Suite struct CurrentVersionTests {
    /// An index of two versions, both good; the older one is current.
    private struct Index {
        let built: BuiltIndex
        let old: EntryName
        let new: EntryName
        var folder: String { self.built.indexFolder }
        var current: String { self.folder + "/current" }

        init() throws {
            self.built = try BuiltIndex(items: 60, users: 4)
            self.old = try self.built.build().version
            self.new = try self.built.build { $0.seed = 2 }.version
            _ = try PublishedVersions.use(self.old, of: self.folder)
        }

        func remove() throws { try FileManager.default.removeItem(atPath: self.current) }
        func link(to target: String) throws {
            try self.remove()
            try FileManager.default.createSymbolicLink(atPath: self.current, withDestinationPath: target)
        }
        func write(_ text: String) throws {
            try self.remove()
            try Data(text.utf8).write(to: URL(fileURLWithPath: self.current))
        }
        func copy(_ version: EntryName) throws {
            try self.remove()
            try FileManager.default.copyItem(
                atPath: PublishedVersions.folder(of: self.folder, version),
                toPath: self.current
            )
        }
    }

    @Test func whatIsReadAsItStands() throws {
        let index = try Index()
        let makes: [() throws -> Void] = [
            { try index.write("versions/\(index.old)") }, { try index.write("versions/\(index.old)\r\n") },
            { try index.link(to: index.folder + "/versions/\(index.old)") },
            { try index.link(to: "./versions/\(index.old)") }, { try index.copy(index.old) },
        ]
        for make in makes {
            try make()
            #expect(try PublishedVersions.current(of: index.folder) == index.old)
            #expect(try Verifier.verify(indexFolder: index.folder).version == index.old)
            // Going on from there makes it a link again.
            #expect(try PublishedVersions.use(index.new, of: index.folder) == index.old)
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: index.current) == "versions/\(index.new)")
            #expect(try PublishedVersions.rollBack(index.folder) == (index.new, index.old))
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: index.folder).filter { $0 != ".DS_Store" }
        #expect(left.sorted() == ["current", "versions"])
    }

    /// Each says what it is, and the command that it names mends it.
    @Test func whatIsNot() throws {
        let index = try Index()
        let elsewhere = try BuiltIndex(items: 60, users: 4)
        let other = try elsewhere.build()
        let makes: [(words: String, make: () throws -> Void)] = [
            ("no version is current", { try index.remove() }), ("names no version", { try index.write("") }),
            ("names no version", { try index.write("../versions/\(index.old)") }),
            ("more than 256", { try index.write(String(repeating: "x", count: 300)) }),
            ("not to a version", { try index.link(to: other.folder) }),
            ("not to a version", { try index.link(to: "gone/x") }),
            (
                "no copy of a version",
                {
                    try index.remove()
                    try FileManager.default.createDirectory(atPath: index.current, withIntermediateDirectories: false)
                }
            ),
        ]
        for (words, make) in makes {
            try make()
            let error = #expect(throws: AnnexError.self, "\(words)") { try Verifier.verify(indexFolder: index.folder) }
            #expect(error?.message.contains(words) == true, "\(String(describing: error))")
            #expect(error?.hint?.contains("annctl use \(index.folder) VERSION") == true, "\(String(describing: error))")
            #expect(try PublishedVersions.use(index.old, of: index.folder) == nil)
            #expect(try Verifier.verify(indexFolder: index.folder).version == index.old)
            // Without a word on which one, it is the newest.
            try make()
            #expect(try PublishedVersions.rollBack(index.folder) == (nil, index.new))
            #expect(try PublishedVersions.use(index.old, of: index.folder) == index.new)
        }
    }

    @Test func versionsThatAreNotThere() throws {
        let index = try Index()
        let gone = try #require(EntryName("20240101T000000Z-00000000"))
        let error = #expect(throws: AnnexError.self) { try PublishedVersions.use(gone, of: index.folder) }
        #expect(error?.code == .notFound && error?.hint?.contains("annctl list \(index.folder)") == true)
        #expect(try PublishedVersions.current(of: index.folder) == index.old)
        let nowhere = index.built.folder.file("nowhere")
        #expect(
            #expect(throws: AnnexError.self) { try PublishedVersions.use(gone, of: nowhere) }?.message.contains(
                "no index"
            )
                == true
        )
    }

    /// A damaged version, and one that cannot be served, never become current.
    @Test func onlyWhatIsProvedBecomesCurrent() throws {
        let index = try Index()
        let refusal = AnnexError(.damaged, "does not answer")
        func refuse(_ verified: VerifiedVersion) throws(AnnexError) { throw refusal }
        #expect(throws: refusal) { try PublishedVersions.use(index.new, of: index.folder, proof: refuse) }
        #expect(try PublishedVersions.current(of: index.folder) == index.old)
        _ = try PublishedVersions.use(index.new, of: index.folder)
        #expect(throws: refusal) { try PublishedVersions.rollBack(index.folder, proof: refuse) }
        #expect(try PublishedVersions.current(of: index.folder) == index.new)
        let file = PublishedVersions.folder(of: index.folder, index.old) + "/" + VersionLayout.vectors
        try Data([0]).write(to: URL(fileURLWithPath: file))
        let error = #expect(throws: AnnexError.self) { try PublishedVersions.use(index.old, of: index.folder) }
        #expect(error?.code == .damaged && error?.location == file)
        #expect(try PublishedVersions.current(of: index.folder) == index.new)
    }

    /// A build reads all that it wrote, and asks what a server would; then it names the version.
    @Test func aBuildThatCannotBeServedIsNotPublished() throws {
        let index = try BuiltIndex(items: 60, users: 4)
        final class Log: @unchecked Sendable { var seen: [VerifiedVersion] = [] }
        let log = Log()
        func build(_ refusal: AnnexError?) throws -> BuildResult {
            var pipeline = BuildPipeline(
                recipe: try index.recipe(),
                indexFolder: index.indexFolder,
                threads: 1,
                proof: { verified throws(AnnexError) in
                    log.seen.append(verified)
                    if let refusal { throw refusal }
                },
                progress: { _ in }
            )
            return try pipeline.run()
        }
        let refusal = AnnexError(.damaged, "gave 9 answers", at: "/somewhere/index.faiss", hint: "Roll back")
        let error = #expect(throws: AnnexError.self) { try build(refusal) }
        #expect(
            error?.message.contains("was not published: gave 9 answers") == true && error?.location == "index.faiss"
        )
        #expect(
            try PublishedVersions.versions(of: index.indexFolder) == []
                && PublishedVersions.current(of: index.indexFolder) == nil
        )
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: index.indexFolder + "/versions").allSatisfy {
                !$0.hasPrefix(".tmp-")
            }
        )
        let good = try build(nil)
        #expect(throws: AnnexError.self) { try build(refusal) }
        #expect(try PublishedVersions.current(of: index.indexFolder) == good.version)
        #expect(log.seen.count == 3 && log.seen.allSatisfy { $0.folder.contains("/versions/.tmp-") })
        #expect(
            log.seen[1].manifest == good.manifest && log.seen[1].version.value.suffix(8) == good.version.value.suffix(8)
        )
    }
}
