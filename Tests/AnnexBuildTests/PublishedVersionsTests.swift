import AnnexBuild
import AnnexCore
import AnnexTestSupport
import Foundation
import Testing

@Suite struct PublishedVersionsTests {
    private func names(_ path: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path).sorted()
    }

    @Test(arguments: [
        "README", "zzz", "link", "99999999T999999Z-00000000", "20240101T000000Z-0000000G", "20240101T000000Z",
    ])
    func whatHasNoVersionsNameIsNone(_ name: String) throws {
        let index = try BuiltIndex(items: 60, users: 4)
        let first = try index.build().version
        try Data().write(to: URL(fileURLWithPath: index.indexFolder + "/versions/" + name))
        let second = try index.build().version
        #expect(try PublishedVersions.versions(of: index.indexFolder) == [first, second])
    }

    /// A version that came from a machine whose clock is ahead must not cost the build.
    @Test func aNewestVersionFromTheFuture() throws {
        let index = try BuiltIndex(items: 60, users: 4)
        let old = try index.build().folder
        let future = index.indexFolder + "/versions/20991231T235959Z-" + old.suffix(8)
        try FileManager.default.moveItem(atPath: old, toPath: future)
        let built = try index.build().version
        #expect(built.value.hasPrefix("21000101T000000Z-"))
        #expect(try PublishedVersions.current(of: index.indexFolder) == built)
    }

    @Test func rollBackToADamagedVersionIsRefused() throws {
        let index = try BuiltIndex(items: 60, users: 4)
        let old = try index.build().folder
        let current = try index.build().version
        let file = try #require(FileHandle(forWritingAtPath: old + "/" + VersionLayout.index))
        try file.write(contentsOf: Data([0xff]))
        try file.close()
        let error = #expect(throws: AnnexError.self) { try PublishedVersions.rollBack(index.indexFolder) }
        #expect(error?.location?.hasSuffix(VersionLayout.index) == true)
        #expect(try PublishedVersions.current(of: index.indexFolder) == current)
    }

    @Test func leftoversGoFromBothFolders() throws {
        let index = try BuiltIndex(items: 60, users: 4)
        try index.build()
        let link = index.indexFolder + "/.tmp-current-1"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "versions/gone")
        try FileManager.default.createDirectory(
            atPath: index.indexFolder + "/versions/.tmp-dead/users",
            withIntermediateDirectories: true
        )
        try index.build()
        #expect(try self.names(index.indexFolder) == ["current", "versions"])
        #expect(try self.names(index.indexFolder + "/versions").filter { $0.hasPrefix(".tmp-") } == [])
    }

    @Test func aLiveBuildKeepsOthersOutAndItsFolder() throws {
        let index = try BuiltIndex(items: 60, users: 4)
        let live = try Publisher(indexFolder: index.indexFolder)
        let error = #expect(throws: AnnexError.self) { try index.build() }
        #expect(error?.code == .busy)
        #expect(FileManager.default.fileExists(atPath: live.temporary))
        #expect(try PublishedVersions.versions(of: index.indexFolder) == [])
        withExtendedLifetime(live) {}
    }

    /// Publishing, rolling back and pruning at once: `current` always names a version that is there.
    @Test func currentNeverDangles() async throws {
        let index = try BuiltIndex(items: 60, users: 0)
        func change(_ recipe: inout Recipe) {
            recipe.users = nil
            recipe.index = "Flat"
        }
        for _ in 0..<2 { try index.build(change) }
        let folder = index.indexFolder
        await withTaskGroup(of: Int.self) { group in
            group.addTask { (0..<150).count { _ in (try? PublishedVersions.rollBack(folder)) != nil } }
            group.addTask { (0..<150).count { _ in (try? PublishedVersions.prune(folder, keep: 2)) != nil } }
            for _ in 0..<12 { #expect(throws: Never.self) { try index.build(change) } }
            for await _ in group {}
        }
        let current = try #require(try PublishedVersions.current(of: folder))
        #expect(try PublishedVersions.versions(of: folder).contains(current))
        _ = try Verifier.verify(indexFolder: folder)
    }

    @Test func pruneTakesTheRejectsAlong() throws {
        let index = try BuiltIndex(items: 60, users: 4)
        try "item0,1,2,3,4,5,6\nitem1,nan,2,3,4,5,6\nitem2,1,2,3,4,5,7\n"
            .write(toFile: index.folder.file("items.csv"), atomically: true, encoding: .utf8)
        func change(_ recipe: inout Recipe) {
            recipe.attributes = nil
            recipe.skipBadRows = true
        }
        let first = try #require(try index.build(change).rejectsFile)
        let second = try #require(try index.build(change).rejectsFile)
        #expect(FileManager.default.fileExists(atPath: first) && first != second)
        _ = try PublishedVersions.prune(index.indexFolder, keep: 1)
        #expect(!FileManager.default.fileExists(atPath: first) && FileManager.default.fileExists(atPath: second))
    }
}
