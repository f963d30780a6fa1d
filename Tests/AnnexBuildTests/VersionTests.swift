import AnnexBuild
import AnnexCore
import AnnexTestSupport
import Foundation
import Testing

/// A small index built from CSV files.
struct BuiltIndex {
    static let seed: UInt64 = 20_240_302
    let folder: TemporaryFolder
    var indexFolder: String { self.folder.file("shop") }

    init(items: Int = 400, users: Int = 30, dimension: Int = 6) throws {
        self.folder = try TemporaryFolder()
        var random = SeededRandom(seed: Self.seed)
        func lines(_ prefix: String, _ count: Int) -> String {
            (0..<count).map { row in
                "\(prefix)\(row)," + (0..<dimension).map { _ in "\(random.normal())" }.joined(separator: ",")
            }.joined(separator: "\n")
        }
        try lines("item", items).write(toFile: self.folder.file("items.csv"), atomically: true, encoding: .utf8)
        try lines("user", users).write(toFile: self.folder.file("users.csv"), atomically: true, encoding: .utf8)
        try (0..<items).map { "{\"id\":\"item\($0)\",\"n\":\($0)}" }.joined(separator: "\n")
            .write(toFile: self.folder.file("attributes.jsonl"), atomically: true, encoding: .utf8)
    }

    func recipe(kind: String = "HNSW8", metric: Metric = .ip) throws -> Recipe {
        var recipe = Recipe(name: try #require(EntryName("shop")), vectors: "items.csv", folder: self.folder.path)
        recipe.users = "users.csv"
        recipe.attributes = "attributes.jsonl"
        recipe.index = kind
        recipe.metric = metric
        return recipe
    }

    @discardableResult
    func build(_ change: (inout Recipe) -> Void = { _ in }) throws -> BuildResult {
        var recipe = try self.recipe()
        change(&recipe)
        var pipeline = BuildPipeline(recipe: recipe, indexFolder: self.indexFolder, threads: 1) { _ in }
        return try pipeline.run()
    }
}

@Suite struct VersionTests {
    @Test func buildPublishesAVerifiedVersion() throws {
        let index = try BuiltIndex()
        let result = try index.build()
        let verified = try Verifier.verify(indexFolder: index.indexFolder)
        #expect(verified.version == result.version)
        #expect(verified.manifest.items == 400 && verified.manifest.users == 30)
        #expect(verified.manifest.itemsWithAttributes == 400)
        #expect(verified.manifest.measured.chosen.recallLowerBound >= 0.99)
        #expect(verified.manifest.measured.unreachableItems != nil)
        try verified.confirmUnchanged()
    }

    @Test func sameInputSameBytes() throws {
        let index = try BuiltIndex()
        let folders = try [index.build(), index.build()].map(\.folder)
        for file in VersionLayout.files(withUsers: true) + [VersionLayout.manifest, VersionLayout.manifestSum] {
            let bytes = try folders.map { try Data(contentsOf: URL(fileURLWithPath: $0 + "/" + file)) }
            #expect(bytes[0] == bytes[1], "\(file)")
        }
    }

    @Test func everyDamageIsFoundAndNamed() throws {
        let index = try BuiltIndex()
        let folder = try index.build().folder
        var random = SeededRandom(seed: BuiltIndex.seed)
        var injected = 0
        for file in VersionLayout.files(withUsers: true) + [VersionLayout.manifest, VersionLayout.manifestSum] {
            let url = URL(fileURLWithPath: folder + "/" + file)
            let whole = try Data(contentsOf: url)
            func expectRefused(_ data: Data, _ what: String) throws {
                try data.write(to: url)
                injected += 1
                let error = #expect(throws: AnnexError.self, "\(file): \(what)") {
                    try Verifier.verify(indexFolder: index.indexFolder)
                }
                let named = error?.location?.contains(file == VersionLayout.manifest ? "manifest" : file) ?? false
                #expect(named, "\(file): \(what): \(error.map { "\($0)" } ?? "no error")")
                try whole.write(to: url)
            }
            for _ in 0..<8 {
                var damaged = whole
                let place = Int.random(in: 0..<whole.count, using: &random)
                damaged[place] ^= UInt8(1 << Int.random(in: 0..<8, using: &random))
                try expectRefused(damaged, "a flipped bit at byte \(place)")
            }
            try expectRefused(whole.dropLast(), "a byte less")
            try expectRefused(whole + [0], "a byte more")
            try expectRefused(Data(), "empty")
            try FileManager.default.removeItem(at: url)
            injected += 1
            #expect(throws: AnnexError.self) { try Verifier.verify(indexFolder: index.indexFolder) }
            try FileManager.default.createSymbolicLink(atPath: url.path, withDestinationPath: "/dev/zero")
            injected += 1
            #expect(throws: AnnexError.self) { try Verifier.verify(indexFolder: index.indexFolder) }
            try FileManager.default.removeItem(at: url)
            try whole.write(to: url)
        }
        for extra in ["extra", "users/16.lmdb", ".hidden"] {
            try Data("x".utf8).write(to: URL(fileURLWithPath: folder + "/" + extra))
            injected += 1
            #expect(throws: AnnexError.self) { try Verifier.verify(indexFolder: index.indexFolder) }
            try FileManager.default.removeItem(atPath: folder + "/" + extra)
        }
        _ = try Verifier.verify(indexFolder: index.indexFolder)
        print("everyDamageIsFoundAndNamed: seed \(BuiltIndex.seed), \(injected) damages injected, all refused")
    }

    @Test func changeAfterVerifyIsNoticed() throws {
        let index = try BuiltIndex()
        let folder = try index.build().folder
        let verified = try Verifier.verify(indexFolder: index.indexFolder)
        let handle = try #require(FileHandle(forWritingAtPath: folder + "/" + VersionLayout.vectors))
        try handle.seek(toOffset: 64)
        try handle.write(contentsOf: Data([1, 2, 3, 4]))
        try handle.close()
        #expect(throws: AnnexError.self) { try verified.confirmUnchanged() }
    }

    @Test func listRollBackPrune() throws {
        let index = try BuiltIndex()
        let versions = try (0..<3).map { seed in try index.build { $0.seed = UInt64(seed) }.version }
        #expect(try PublishedVersions.versions(of: index.indexFolder) == versions)
        #expect(try PublishedVersions.current(of: index.indexFolder) == versions[2])
        #expect(try PublishedVersions.rollBack(index.indexFolder).to == versions[1])
        #expect(try PublishedVersions.rollBack(index.indexFolder).to == versions[0])
        #expect(throws: AnnexError.self) { try PublishedVersions.rollBack(index.indexFolder) }
        #expect(try PublishedVersions.prune(index.indexFolder, keep: 1) == [versions[1]], "the current one stays")
        #expect(throws: AnnexError.self) { try PublishedVersions.prune(index.indexFolder, keep: 0) }
    }

    @Test func leftoversOfDeadBuildsAreNoVersions() throws {
        let index = try BuiltIndex()
        try index.build()
        let leftover = index.indexFolder + "/versions/.tmp-dead"
        try FileManager.default.createDirectory(atPath: leftover, withIntermediateDirectories: false)
        #expect(try PublishedVersions.versions(of: index.indexFolder).count == 1)
        try index.build()
        #expect(!FileManager.default.fileExists(atPath: leftover))
    }

    @Test(arguments: ["../x", "versions/../..", "/etc", "versions/a/b", "versions/", "versions/.tmp-x"])
    func currentMustNameAVersion(_ target: String) throws {
        let index = try BuiltIndex(items: 30, users: 2)
        try index.build()
        let link = index.indexFolder + "/current"
        try FileManager.default.removeItem(atPath: link)
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
        #expect(throws: AnnexError.self) { try Verifier.verify(indexFolder: index.indexFolder) }
    }
}

@Suite struct IngestTests {
    private func write(_ folder: TemporaryFolder, _ text: String) throws {
        try text.write(toFile: folder.file("items.csv"), atomically: true, encoding: .utf8)
    }

    @Test(arguments: [
        ("a,1,2\nb,nan,1\n", "items.csv:2:2"), ("a,1,2\nb,1,inf\n", "items.csv:2:3"), ("a,1,2\nb,1\n", "items.csv:2"),
        ("a,1,2\na,2,3\n", "items.csv:2"), ("a,1,2\n,2,3\n", "items.csv:2:1"), ("a,1,2\nb,x,3\n", "items.csv:2:2"),
    ])
    func badRowsStopTheBuildOrAreLeftOut(_ text: String, _ place: String) throws {
        let index = try BuiltIndex()
        try self.write(index.folder, text + "c,5,6\nd,7,8\n")
        func change(_ recipe: inout Recipe) {
            recipe.users = nil
            recipe.attributes = nil
            recipe.index = "Flat"
        }
        let error = #expect(throws: AnnexError.self) { try index.build(change) }
        #expect(error?.location?.hasSuffix(place) == true, "\(error.map { "\($0)" } ?? "")")
        #expect((try? PublishedVersions.current(of: index.indexFolder)) == .some(nil), "nothing was published")
        let result = try index.build {
            change(&$0)
            $0.skipBadRows = true
        }
        #expect(result.manifest.items == 3 && result.manifest.rejectedRows == 1)
        let rejects = try String(contentsOfFile: #require(result.rejectsFile), encoding: .utf8)
        #expect(rejects.contains("\"row\":2"))
    }

    @Test func recallBelowTheTargetFailsWithTheTable() throws {
        let index = try BuiltIndex(items: 1_000, users: 200, dimension: 32)
        let error = #expect(throws: AnnexError.self) {
            try index.build {
                $0.index = "IVF10,PQ1"
                $0.metric = .l2
                $0.recall = 1
            }
        }
        #expect(error?.code == .recall && error?.message.contains("nprobe 10") == true)
    }

    @Test(arguments: [
        ("name: shop\nvectors: v.npy\nwheels: 4\n", "wheels"), ("vectors: v.npy\n", "name"),
        ("name: shop\n", "vectors"),
        ("name: ../x\nvectors: v\n", "name"), ("name: shop\nvectors: v\nmetric: hamming\n", "hamming"),
        ("name: shop\nvectors: v\nindex: LSH\n", "LSH"), ("name: shop\nvectors: v\nrecall: 2\n", "recall"),
        ("name: shop\nvectors: v\nseed: -1\n", "seed"), ("- a\n- b\n", "recipe"), ("name: [\n", "YAML"),
    ])
    func recipesAreRead(_ text: String, _ word: String) throws {
        let folder = try TemporaryFolder()
        try text.write(toFile: folder.file("recipe.yaml"), atomically: true, encoding: .utf8)
        let error = #expect(throws: AnnexError.self) { try Recipe.read(folder.file("recipe.yaml")) }
        #expect(error?.description.contains(word) == true, "\(error.map { "\($0)" } ?? "")")
    }
}
