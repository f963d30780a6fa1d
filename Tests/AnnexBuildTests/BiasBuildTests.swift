import AnnexBuild
import AnnexCore
import AnnexIndex
import AnnexStore
import AnnexTestSupport
import Foundation
import Testing

@Suite struct BiasBuildTests {
    /// A catalogue whose items and users have biases: those of row n are n / 8 - 3 and n / 16.
    private struct Shop {
        let index: BuiltIndex

        init() throws {
            self.index = try BuiltIndex(items: 200, users: 30, dimension: 6)
            try self.write("bias.txt", (0..<200).map { "\(Double($0) / 8 - 3)" })
            try self.write("levels.txt", (0..<30).map { "\(Double($0) / 16)" })
        }

        func write(_ name: String, _ lines: [String]) throws {
            try lines.joined(separator: "\n").write(
                toFile: self.index.folder.file(name),
                atomically: true,
                encoding: .utf8
            )
        }

        func build(_ change: (inout Recipe) -> Void = { _ in }) throws -> BuildResult {
            try self.index.build { recipe in
                (recipe.bias, recipe.userBias, recipe.globalMean, recipe.recall) = ("bias.txt", "levels.txt", 3.5, 0.5)
                change(&recipe)
            }
        }

        /// Numbers of a row of a CSV file, by its id.
        func row(_ file: String, _ id: String) throws -> [Float] {
            let text = try String(contentsOfFile: self.index.folder.file(file), encoding: .utf8)
            let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(id + ",") })
            return line.split(separator: ",").dropFirst().compactMap { Float($0) }
        }
    }

    private func users(_ result: BuildResult, dimension: Int) throws -> (String) -> [Float]? {
        let store = try UserStore(folder: result.folder + "/" + VersionLayout.users, dimension: dimension)
        let reader = try store.makeReader()
        return { user in
            var row = [Float](repeating: 0, count: dimension)
            let found = reader.copyVector(of: Array(user.utf8).span, into: &row)
            return found ? row : nil
        }
    }

    @Test func rowsEndInTheirBiases() throws {
        let shop = try Shop()
        let result = try shop.build()
        let manifest = try Verifier.verify(indexFolder: shop.index.indexFolder).manifest
        #expect(manifest.format == 7 && manifest.dimension == 6 && manifest.storedDimension == 7)
        #expect(manifest.bias?.model == ModelBias(globalMean: 3.5, hasUserBiases: true))
        #expect(manifest.recipe?["global-mean"] == "3.5" && manifest.recipe?["bias"] == "bias.txt")
        let vectors = try VectorFile(path: result.folder + "/" + VersionLayout.vectors, rows: 200, dimension: 7)
        let items = try ItemStore(path: result.folder + "/" + VersionLayout.items).makeReader()
        for number in [0, 1, 17, 199] {
            let found = items.ordinal(of: Array("item\(number)".utf8).span)
            let ordinal = try #require(found)
            let wanted = try shop.row("items.csv", "item\(number)") + [Float(number) / 8 - 3]
            #expect(vectors.withRow(Int(ordinal)) { Array(copying: $0) } == wanted)
        }
        let user = try self.users(result, dimension: 7)
        for number in [0, 9, 29] {
            let row = try shop.row("users.csv", "user\(number)")
            #expect(user("user\(number)") == row + [3.5 + Float(number) / 16])
        }
        // Items that nobody asked for are searched without biases, users with them.
        #expect(manifest.measured.queries == "users" && manifest.measuredOnItems != nil)
    }

    @Test func withoutLevelsOfUsers() throws {
        let shop = try Shop()
        let plain = try shop.build { ($0.userBias, $0.globalMean) = (nil, nil) }
        #expect(plain.manifest.bias?.model == ModelBias(globalMean: 0, hasUserBiases: false))
        #expect(try self.users(plain, dimension: 7)("user3") == shop.row("users.csv", "user3") + [0])
        let items = try shop.build { ($0.userBias, $0.users) = (nil, nil) }
        #expect(items.manifest.users == 0 && items.manifest.bias?.model.globalMean == 3.5)
        #expect(items.manifest.measured.queries == "items with noise")
    }

    @Test func withoutBiasesNothingOfThemIsStored() throws {
        let result = try Shop().index.build { $0.recall = 0.5 }
        #expect(result.manifest.format == 7 && result.manifest.bias == nil && result.manifest.storedDimension == 6)
    }

    @Test func implicitFactorsWithoutBiases() throws {
        let shop = try Shop()
        try shop.write("history.tsv", ["user3\titem0\t5", "user3\titem7\t1", "user3\titem9\t-1", "user4\titem1"])
        let more = (0..<200).map { row in "item\(row)," + (0..<6).map { "\(row + $0)" }.joined(separator: ",") }
        try shop.write("more.csv", more)
        let result = try shop.index.build {
            ($0.history, $0.trainedUntil, $0.implicitFactors, $0.recall) = ("history.tsv", 1_000, "more.csv", 0.5)
        }
        #expect(result.manifest.format == 7 && result.manifest.bias == nil)
        _ = try Verifier.verify(indexFolder: shop.index.indexFolder)
        let user = try self.users(result, dimension: 6)
        let sums: [(String, (Int) -> Double)] = [
            ("user3", { (16 + 3 * Double($0)) / 3.0.squareRoot() }), ("user4", { 1 + Double($0) }),
            ("user5", { _ in 0 }),
        ]
        for (name, sum) in sums {
            let row = try shop.row("users.csv", name)
            let wanted = row.indices.map { Float(Double(row[$0]) + sum($0)) }
            let found = try #require(user(name))
            #expect(zip(found, wanted).allSatisfy { abs($0 - $1) <= 1e-6 * max(1, abs($1)) }, "\(name)")
        }
    }

    /// Whoever writes a manifest anew with checksums that fit gets no value past that is impossible.
    @Test func manifestsThatCannotBe() throws {
        let manifest = try Shop().build().manifest
        let changes: [(inout Manifest) -> Void] = [
            { $0.bias = nil }, { $0.format = 5 }, { $0.format = 4 }, { $0.storedDimension = 6 },
            { $0.storedDimension = 8 }, { $0.dimension = 7 }, { $0.dimension = Int.max }, { $0.dimension = 0 },
            { ($0.dimension, $0.storedDimension) = (4_096, 4_097) }, { $0.metric = "cosine" },
            { $0.bias?.globalMean = 1e39 }, { $0.files[0].bytes += 1 << 60 },
            { ($0.bias, $0.format, $0.storedDimension) = (nil, 5, 6) },
        ]
        #expect(try Manifest.decode(manifest.encoded(), at: "m") == manifest)
        for (number, change) in changes.enumerated() {
            var forged = manifest
            change(&forged)
            let error = #expect(throws: AnnexError.self, "\(number)") { try Manifest.decode(forged.encoded(), at: "m") }
            #expect(error?.code == .damaged)
        }
    }

    @Test func tooManyBiasesAndTooFew() throws {
        let shop = try Shop()
        for (key, count) in [("bias.txt", 199), ("levels.txt", 31)] {
            let other = try Shop()
            try other.write(key, (0..<count).map { "\($0)" })
            let error = #expect(throws: AnnexError.self) { try other.build() }
            #expect(error?.code == .badInput && error?.location?.hasSuffix(key) == true)
            #expect(error?.message.contains("\(count) biases") == true)
        }
        try shop.write("levels.txt", (0..<30).map { $0 == 2 ? "none" : "1" })
        let error = #expect(throws: AnnexError.self) { try shop.build() }
        #expect(error?.location?.hasSuffix("levels.txt:3") == true)
        let result = try shop.build { $0.skipBadRows = true }
        #expect(result.manifest.users == 29 && result.manifest.rejectedRows == 1)
        #expect(try self.users(result, dimension: 7)("user2") == nil)
    }
}

@Suite struct BiasRecipeTests {
    private func read(_ text: String) throws -> Recipe {
        let folder = try TemporaryFolder()
        try ("name: shop\nvectors: v.npy\n" + text).write(
            toFile: folder.file("recipe.yaml"),
            atomically: true,
            encoding: .utf8
        )
        return try Recipe.read(folder.file("recipe.yaml"))
    }

    @Test func itsKeys() throws {
        let recipe = try self.read("users: u.npy\nbias: b.npy\nuser-bias: c.npy\nglobal-mean: -3.5e-1\n")
        #expect(recipe.bias == "b.npy" && recipe.userBias == "c.npy" && recipe.globalMean == -0.35)
        #expect(recipe.rendered["global-mean"] == "-0.35" && recipe.rendered["user-bias"] == "c.npy")
        #expect(try self.read("").rendered["global-mean"] == nil)
        let implicit = try self.read("users: u.npy\nhistory: h.tsv\ntrained-until: 5\nimplicit-factors: y.npy\n")
        #expect(implicit.implicitFactors == "y.npy")
    }

    @Test(arguments: [
        ("user-bias: b.npy\nusers: u.npy", "without bias"), ("global-mean: 3", "without bias"),
        ("bias: b.npy\nmetric: cosine", "metric ip"), ("bias: b.npy\nmetric: l2", "metric ip"),
        ("bias: b.npy\nuser-bias: c.npy", "without users"), ("bias: b.npy\nglobal-mean: 1e39", "1e15"),
        ("bias: b.npy\nglobal-mean: high", "number"), ("bias: b.npy\nglobal-mean: nan", "number"),
        ("bias: b.npy\nfold-in: als\nregularization: 1", "ridge"), ("implicit-factors: y.npy", "without users"),
        ("implicit-factors: y.npy\nusers: u.npy", "without a history"), ("bias: [1, 2]", "single value"),
    ])
    func contradictions(_ text: String, _ word: String) throws {
        let error = #expect(throws: AnnexError.self) { try self.read(text + "\n") }
        #expect(error?.code == .usage && "\(error!)".contains(word), "\(error!)")
    }
}
