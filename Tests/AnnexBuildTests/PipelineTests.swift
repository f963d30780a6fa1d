import AnnexBuild
import AnnexCore
import AnnexIndex
import AnnexStore
import AnnexTestSupport
import Foundation
import Testing

@Suite struct PipelineTests {
    /// Rows, ids, attributes and users in the version are those of the files, whatever order those have.
    @Test func everythingLandsAtItsOrdinal() throws {
        let index = try BuiltIndex(items: 300, users: 40, dimension: 5)
        let attributes = try String(contentsOfFile: index.folder.file("attributes.jsonl"), encoding: .utf8)
        try attributes.split(separator: "\n").enumerated().filter { $0.offset % 3 != 0 }.map(\.element).reversed()
            .joined(separator: "\n")
            .write(toFile: index.folder.file("attributes.jsonl"), atomically: true, encoding: .utf8)
        let result = try index.build()
        let items = try ItemStore(path: result.folder + "/" + VersionLayout.items)
        let reader = try items.makeReader()
        let vectors = try VectorFile(path: result.folder + "/" + VersionLayout.vectors, rows: 300, dimension: 5)
        var withAttributes = 0
        for line in try String(contentsOfFile: index.folder.file("items.csv"), encoding: .utf8).split(separator: "\n") {
            let fields = line.split(separator: ",")
            let id = Array(fields[0].utf8)
            let known = reader.ordinal(of: id.span)
            let ordinal = try #require(known)
            #expect(items.identifier(ordinal) == id)
            #expect(vectors.withRow(Int(ordinal)) { Array(copying: $0) } == fields.dropFirst().compactMap { Float($0) })
            var text: String?
            reader.withAttributes(ordinal) { json in
                if let json { text = String(decoding: Array(copying: json), as: UTF8.self) }
            }
            if let text {
                withAttributes += 1
                #expect(text.contains("\"id\":\"\(fields[0])\""))
            }
        }
        #expect(withAttributes == result.manifest.itemsWithAttributes && (1..<300).contains(withAttributes))
        let users = try UserStore(folder: result.folder + "/" + VersionLayout.users, dimension: 5).makeReader()
        for line in try String(contentsOfFile: index.folder.file("users.csv"), encoding: .utf8).split(separator: "\n") {
            let fields = line.split(separator: ",")
            var vector = [Float](repeating: 0, count: 5)
            let found = users.copyVector(of: Array(fields[0].utf8).span, into: &vector)
            #expect(found && vector == fields.dropFirst().compactMap { Float($0) })
        }
    }

    /// Ids in a file of their own give the same version as ids in the factor file.
    @Test func idsApartOrInTheFile() throws {
        let index = try BuiltIndex(items: 80, users: 10)
        let together = try index.build { $0.users = nil }
        let lines = try String(contentsOfFile: index.folder.file("items.csv"), encoding: .utf8).split(separator: "\n")
        try lines.map { $0.drop { $0 != "," }.dropFirst() }.joined(separator: "\n")
            .write(toFile: index.folder.file("bare.csv"), atomically: true, encoding: .utf8)
        try lines.map { $0.prefix { $0 != "," } }.joined(separator: "\n")
            .write(toFile: index.folder.file("ids.txt"), atomically: true, encoding: .utf8)
        let apart = try index.build {
            $0.users = nil
            $0.vectors = "bare.csv"
            $0.ids = "ids.txt"
        }
        #expect(together.manifest.files == apart.manifest.files)
        #expect(together.manifest.measured == apart.manifest.measured)
    }

    /// Ids of a file of their own stay with their rows: headings and blank lines are no rows, rows left out are.
    @Test func idsApartFromRowsThatAreBad() throws {
        let index = try BuiltIndex(items: 80, users: 10)
        let lines = try String(contentsOfFile: index.folder.file("items.csv"), encoding: .utf8).split(separator: "\n")
        var bare = ["heading"]
        var good = lines
        for (number, line) in lines.enumerated() {
            // The first row, one in the middle and the last.
            let isBad = [0, 41, 79].contains(number)
            bare.append(isBad ? "nan" : String(line.drop { $0 != "," }.dropFirst()))
            if number % 7 == 0 { bare.append("") }
        }
        try bare.joined(separator: "\n").write(toFile: index.folder.file("bare.csv"), atomically: true, encoding: .utf8)
        try lines.map { $0.prefix { $0 != "," } }.joined(separator: "\n")
            .write(toFile: index.folder.file("ids.txt"), atomically: true, encoding: .utf8)
        let apart = try index.build {
            ($0.users, $0.attributes, $0.vectors, $0.ids) = (nil, nil, "bare.csv", "ids.txt")
            $0.skipBadRows = true
        }
        #expect(apart.manifest.rejectedRows == 3)
        for number in [79, 41, 0] { good.remove(at: number) }
        try good.joined(separator: "\n")
            .write(toFile: index.folder.file("items.csv"), atomically: true, encoding: .utf8)
        let together = try index.build { ($0.users, $0.attributes) = (nil, nil) }
        #expect(together.manifest.files == apart.manifest.files)
    }

    @Test(arguments: [
        ("{\"id\":\"nobody\"}", "nobody"), ("{\"id\":\"item3\"}", "item3"), ("{\"id\":", "JSON"),
        ("{\"name\":1}", "id"),
        ("{\"id\":true}", "id"), ("[1]", "JSON"),
    ])
    func badAttributes(_ line: String, _ word: String) throws {
        let index = try BuiltIndex(items: 60, users: 4)
        let file = index.folder.file("attributes.jsonl")
        let text = try String(contentsOfFile: file, encoding: .utf8)
        try (text + "\n" + line + "\n{\"id\":\"item3\"}\n").write(toFile: file, atomically: true, encoding: .utf8)
        let error = #expect(throws: AnnexError.self) { try index.build() }
        #expect(
            error?.location == file + ":61" && error?.message.contains(word) == true,
            "\(error.map { "\($0)" } ?? "")"
        )
        let result = try index.build { $0.skipBadRows = true }
        #expect(result.manifest.itemsWithAttributes == 60 && result.manifest.rejectedRows == 2)
        let rejects = try String(contentsOfFile: #require(result.rejectsFile), encoding: .utf8)
        #expect(
            rejects.split(separator: "\n").count == 2 && rejects.contains("\"row\":61")
                && rejects.contains("\"row\":62")
        )
    }

    @Test func usersOfAnotherModel() throws {
        let index = try BuiltIndex(items: 60, users: 4)
        try "u,1,2\n".write(toFile: index.folder.file("users.csv"), atomically: true, encoding: .utf8)
        let error = #expect(throws: AnnexError.self) { try index.build() }
        #expect(error?.code == .badInput && error?.location?.hasSuffix("users.csv") == true)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: index.indexFolder + "/versions").allSatisfy {
                !$0.hasPrefix(".tmp-")
            }
        )
    }

    /// The manifest's checksums are those of what was read, or there is no version.
    @Test func aSourceThatChangesMeanwhile() throws {
        let index = try BuiltIndex(items: 60, users: 4)
        var pipeline = BuildPipeline(recipe: try index.recipe(), indexFolder: index.indexFolder, threads: 1) {
            progress in
            guard progress.stage == .users, progress.fraction == 0 else { return }
            let handle = FileHandle(forWritingAtPath: index.folder.file("items.csv"))
            handle?.seekToEndOfFile()
            handle?.write(Data("\n".utf8))
            handle?.closeFile()
        }
        let error = #expect(throws: AnnexError.self) { try pipeline.run() }
        #expect(error?.location?.hasSuffix("items.csv") == true)
        #expect(try PublishedVersions.versions(of: index.indexFolder) == [])
    }

    @Test func stagesAndFractions() throws {
        let index = try BuiltIndex(items: 400, users: 30)
        final class Log: @unchecked Sendable { var all: [BuildProgress] = [] }
        let log = Log()
        var pipeline = BuildPipeline(recipe: try index.recipe(), indexFolder: index.indexFolder, threads: 1) {
            log.all.append($0)
        }
        _ = try pipeline.run()
        var seen: [BuildProgress.Stage] = []
        for progress in log.all {
            if seen.last != progress.stage {
                #expect(progress.fraction == 0 && !seen.contains(progress.stage))
                seen.append(progress.stage)
            }
            #expect((0...1).contains(progress.fraction))
        }
        #expect(try seen == BuildProgress.Stage.all(of: index.recipe()))
        #expect(!seen.contains(.histories) && !seen.contains(.foldIn))
    }

    @Test(arguments: [0, -1, 1_025]) func impossibleThreads(_ threads: Int) throws {
        let index = try BuiltIndex(items: 60, users: 4)
        var pipeline = BuildPipeline(recipe: try index.recipe(), indexFolder: index.indexFolder, threads: threads) {
            _ in
        }
        #expect(throws: AnnexError.self) { try pipeline.run() }
    }

    @Test(
        arguments: ["Flat", "HNSW8", "HNSW8,SQ8", "IVF8,Flat", "IVF8,SQ8", "IVF8,PQ3", "PCA4,IVF8,Flat"],
        Metric.allCases
    )
    func everyKindGivesTheSameBytesAgain(_ kind: String, _ metric: Metric) throws {
        let index = try BuiltIndex(items: 500, users: 20)
        func change(_ recipe: inout Recipe) {
            recipe.index = kind
            recipe.metric = metric
            recipe.recall = 0.5
        }
        let built = try [index.build(change), index.build(change)]
        #expect(built[0].manifest == built[1].manifest)
        _ = try Verifier.verify(indexFolder: index.indexFolder, version: built[0].version)
    }
}

@Suite struct RecipeTests {
    private func read(_ text: String) throws -> Recipe {
        let folder = try TemporaryFolder()
        try text.write(toFile: folder.file("recipe.yaml"), atomically: true, encoding: .utf8)
        return try Recipe.read(folder.file("recipe.yaml"))
    }

    @Test func everyKey() throws {
        let recipe = try self.read(
            """
            # comment
            name: shop
            metric: cosine
            index: "IVF64,SQ8"
            recall: 0.95
            vectors: v.npz:items
            ids: /data/ids.txt
            attributes: a.jsonl.gz
            users: u.npy
            user-ids: u.txt
            seed: 18446744073709551615
            threads: 2
            skip-bad-rows: true
            """
        )
        #expect(recipe.metric == .cosine && recipe.index == "IVF64,SQ8" && recipe.recall == 0.95 && recipe.threads == 2)
        #expect(recipe.seed == UInt64.max && recipe.skipBadRows)
        #expect(recipe.resolve(recipe.vectors) == recipe.folder + "/v.npz:items" && recipe.resolve("/x") == "/x")
        #expect(
            recipe.rendered == [
                "name": "shop", "metric": "cosine", "index": "IVF64,SQ8", "recall": "0.95", "vectors": "v.npz:items",
                "ids": "ids.txt", "attributes": "a.jsonl.gz", "users": "u.npy", "user-ids": "u.txt",
                "seed": "18446744073709551615", "skip-bad-rows": "true",
            ],
            "no whole paths, no threads"
        )
    }

    @Test(arguments: [
        ("threads: 0", "threads"), ("threads: many", "threads"), ("ids:", "ids"), ("ids: ''", "ids"),
        ("ids: [a, b]", "ids"),
        ("user-ids: u.txt", "users"), ("skip-bad-rows: yes", "skip-bad-rows"), ("recall: nan", "recall"),
        ("recall: 0x1p-1", "recall"), ("metric: ip\nmetric: l2", "YAML"), ("Metric: l2", "Metric"), ("1: 2", "1"),
        ("ids: \"a\\u0007b\"", "ids"), ("seed: 18446744073709551616", "seed"), ("index: 'Flat,Flat'", "Flat"),
    ])
    func wrongValuesAreNamed(_ line: String, _ word: String) throws {
        let error = #expect(throws: AnnexError.self) { try self.read("name: shop\nvectors: v.npy\n" + line + "\n") }
        #expect(
            error?.message.contains(word) == true && error?.location?.hasSuffix("recipe.yaml") == true,
            "\(error.map { "\($0)" } ?? "")"
        )
    }

    @Test func textThatIsNotUTF8() throws {
        let folder = try TemporaryFolder()
        try Data("name: shop\nvectors: ".utf8 + [0xff, 0xfe]).write(
            to: URL(fileURLWithPath: folder.file("recipe.yaml"))
        )
        #expect(throws: AnnexError.self) { try Recipe.read(folder.file("recipe.yaml")) }
        #expect(throws: AnnexError.self) { try Recipe.read(folder.file("missing.yaml")) }
    }

    @Test func autoGoesBySize() throws {
        let recipe = try self.read("name: shop\nvectors: v.npy\n")
        #expect(try recipe.kinds(rows: 2_000).map(\.description) == ["Flat"])
        #expect(try recipe.kinds(rows: 40_981).map(\.description) == ["Flat", "IVF64,SQ8"])
        #expect(try recipe.kinds(rows: 1_000_000).map(\.description) == ["Flat", "IVF512,SQ8"])
    }
}
