import AnnexBuild
import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore
import AnnexTestSupport
import Foundation
import Testing

@Suite struct FoldInBuildTests {
    /// A catalogue with a history in text: some users without one, some that only the history knows.
    private struct Shop {
        let index: BuiltIndex
        /// By user and item.
        private(set) var weights: [String: [String: Float]] = [:]

        init(items: Int = 200, users: Int = 30, dimension: Int = 6) throws {
            self.index = try BuiltIndex(items: items, users: users, dimension: dimension)
            var random = SeededRandom(seed: BuiltIndex.seed)
            var lines: [String] = []
            for user in 5..<users + 4 {
                for _ in 0..<1 + random.below(20) {
                    let (item, weight) = ("item\(random.below(items))", Float(1 + random.below(9)) / 2)
                    lines.append("user\(user)\t\(item)\t\(weight)\t\(random.below(1_000))")
                    self.weights["user\(user)", default: [:]][item, default: 0] += weight
                }
            }
            lines.shuffle(using: &random)
            try self.write(lines)
        }

        func write(_ lines: [String]) throws {
            try lines.joined(separator: "\n").write(
                toFile: self.index.folder.file("history.tsv"),
                atomically: true,
                encoding: .utf8
            )
        }

        func build(threads: Int = 1, _ change: (inout Recipe) -> Void) throws -> BuildResult {
            var recipe = try self.index.recipe()
            (recipe.history, recipe.trainedUntil, recipe.recall) = ("history.tsv", 1_000, 0.5)
            change(&recipe)
            var pipeline = BuildPipeline(recipe: recipe, indexFolder: self.index.indexFolder, threads: threads) { _ in }
            return try pipeline.run()
        }
    }

    /// What a version stores, by id.
    private struct Stored {
        let vectors: VectorFile
        let items: ItemStore
        let users: UserStore
        private let reader: UserReader
        private let itemReader: ItemReader

        init(_ result: BuildResult) throws {
            let manifest = result.manifest
            self.vectors = try VectorFile(
                path: result.folder + "/" + VersionLayout.vectors,
                rows: manifest.items,
                dimension: manifest.dimension
            )
            self.items = try ItemStore(path: result.folder + "/" + VersionLayout.items)
            self.users = try UserStore(
                folder: result.folder + "/" + VersionLayout.users,
                dimension: manifest.dimension,
                itemCount: manifest.items
            )
            self.reader = try self.users.makeReader()
            self.itemReader = try self.items.makeReader()
        }

        func vector(_ user: String) -> [Float]? {
            var target = [Float](repeating: 0, count: self.vectors.dimension)
            let found = self.reader.copyVector(of: Array(user.utf8).span, into: &target)
            return found ? target : nil
        }

        func history(_ user: String) -> [(ordinal: Int32, weight: Float)] {
            self.reader.withHistory(of: Array(user.utf8).span) { view in
                view.map { view in (0..<view.count).map { (view.ordinal($0), view.weight($0)) } } ?? []
            }
        }

        func historyByItem(_ user: String) -> [String: Float] {
            let pairs = self.history(user).map { entry in
                (String(decoding: self.items.identifier(entry.ordinal), as: UTF8.self), entry.weight)
            }
            return Dictionary(uniqueKeysWithValues: pairs)
        }

        func solve(_ user: String, _ model: FoldInModel) -> [Float] {
            let history = self.history(user)
            var target = [Float](repeating: 0, count: self.vectors.dimension)
            let solved = self.vectors.withRows { rows in
                FoldInSolver(model).solve(
                    count: history.count,
                    rows: rows,
                    stride: self.vectors.stride,
                    into: &target
                ) { (history[$0].ordinal, Double(history[$0].weight)) }
            }
            return solved ? target : []
        }
    }

    private func als(_ recipe: inout Recipe) {
        (recipe.foldIn, recipe.regularization, recipe.alpha) = (.als, 0.5, 8)
    }

    /// The trainer's vector of a user of `users.csv`.
    private func trained(_ shop: Shop, _ user: String) throws -> [Float]? {
        try String(contentsOfFile: shop.index.folder.file("users.csv"), encoding: .utf8).split(separator: "\n")
            .first { $0.hasPrefix(user + ",") }.map { $0.split(separator: ",").dropFirst().compactMap { Float($0) } }
    }

    @Test func usersWithAHistoryAreSolved() throws {
        let shop = try Shop()
        let result = try shop.build(self.als)
        let manifest = try Verifier.verify(indexFolder: shop.index.indexFolder).manifest
        #expect(manifest.format == 7 && manifest.trainedUntil == 1_000 && manifest.histories == 29)
        #expect(manifest.interactions == shop.weights.values.reduce(0) { $0 + $1.count })
        #expect(manifest.users == 34 && manifest.foldIn?.solvedUsers == 29 && manifest.foldIn?.unsolvedUsers == 0)
        #expect(manifest.foldIn?.parsedMethod == .als(regularization: 0.5, alpha: 8))
        #expect(manifest.recipe?["alpha"] == "8.0" && manifest.recipe?["history"] == "history.tsv")
        #expect(manifest.sources.contains { $0.role == "history" })
        let stored = try Stored(result)
        let model = try FoldInModel.load(path: result.folder + "/" + VersionLayout.foldIn, dimension: 6)
        var distances: [Double] = []
        for user in (0..<34).map({ "user\($0)" }) {
            #expect(stored.historyByItem(user) == shop.weights[user] ?? [:])
            guard shop.weights[user] != nil else {
                #expect(try stored.vector(user) == self.trained(shop, user))
                continue
            }
            let solved = stored.solve(user, model)
            #expect(stored.vector(user) == solved)
            guard let before = try self.trained(shop, user) else { continue }
            let squares = zip(solved, before).map { Double($0 - $1) * Double($0 - $1) }.reduce(0, +)
            distances.append((squares / before.map { Double($0) * Double($0) }.reduce(0, +)).squareRoot())
        }
        let mean = distances.reduce(0, +) / Double(distances.count)
        #expect(abs(try #require(manifest.foldIn?.meanDistance) - mean) < 1e-5 * mean)
        #expect(abs(try #require(manifest.foldIn?.distance99) - (distances.max() ?? 0)) < 1e-5)
    }

    /// Threads change nothing, nor does the order of the lines.
    @Test func theSameVersionAgain() throws {
        let shop = try Shop()
        let first = try shop.build(self.als)
        let again = try shop.build(self.als)
        #expect(first.manifest == again.manifest)
        let lines = try String(contentsOfFile: shop.index.folder.file("history.tsv"), encoding: .utf8)
        try shop.write(lines.split(separator: "\n").map(String.init).sorted())
        let sorted = try shop.build(threads: 3, self.als)
        func users(_ result: BuildResult) -> [Manifest.FileEntry] {
            result.manifest.files.filter { $0.path.hasPrefix("users/") }
        }
        #expect(users(sorted) == users(first))
    }

    @Test func ridgeSolvesForThoseWithoutAVector() throws {
        let shop = try Shop()
        let result = try shop.build { ($0.foldIn, $0.regularization) = (.ridge, 2) }
        #expect(result.manifest.foldIn?.solvedUsers == 4 && result.manifest.foldIn?.meanDistance == nil)
        #expect(result.manifest.users == 34 && result.manifest.histories == 29)
        let stored = try Stored(result)
        let model = try FoldInModel.load(path: result.folder + "/" + VersionLayout.foldIn, dimension: 6)
        #expect(model == (try FoldInModel(method: .ridge(regularization: 2), dimension: 6)))
        #expect(try stored.vector("user7") == self.trained(shop, "user7"))
        #expect(stored.vector("user32") == stored.solve("user32", model))
    }

    /// Histories alone say what was seen.
    @Test func withoutFoldIn() throws {
        let shop = try Shop()
        let result = try shop.build { _ in }
        let stored = try Stored(result)
        #expect(result.manifest.users == 30 && result.manifest.histories == 29 && result.manifest.foldIn == nil)
        #expect(stored.vector("user32") == nil && stored.historyByItem("user32") == shop.weights["user32"])
        #expect(!FileManager.default.fileExists(atPath: result.folder + "/" + VersionLayout.foldIn))
        let alone = try shop.build { $0.users = nil }
        #expect(alone.manifest.users == 0 && alone.manifest.histories == 29)
        #expect(try Verifier.verify(indexFolder: shop.index.indexFolder).manifest == alone.manifest)
        let solved = try shop.build {
            $0.users = nil
            self.als(&$0)
        }
        #expect(solved.manifest.users == 29 && solved.manifest.measured.queries == "users")
    }

    @Test func foldInWithoutAHistory() throws {
        let shop = try Shop()
        let result = try shop.build {
            ($0.history, $0.trainedUntil) = (nil, nil)
            self.als(&$0)
        }
        #expect(result.manifest.users == 30 && result.manifest.histories == nil && result.manifest.format == 7)
        #expect(result.manifest.foldIn?.solvedUsers == 0)
        let plain = try shop.build { ($0.history, $0.trainedUntil) = (nil, nil) }
        #expect(plain.manifest.format == 7)
        func users(_ result: BuildResult) -> [Manifest.FileEntry] {
            result.manifest.files.filter { $0.path.hasPrefix("users/") }
        }
        #expect(users(plain) == users(result))
    }

    @Test(arguments: [
        ("user1\tnothing", ":2:2", "no item"), ("user1\titem1\t1\t1001", ":2:4", "after trained-until"),
        ("user1\titem1\tinf", ":2:3", "finite"), ("user1", ":2", "fields"),
    ])
    func badLines(_ line: String, _ place: String, _ word: String) throws {
        let shop = try Shop()
        try shop.write(["user1\titem1\t2", line, "user1\titem2", "new\titem2"])
        let error = #expect(throws: AnnexError.self) { try shop.build(self.als) }
        #expect(error?.location?.hasSuffix("history.tsv" + place) == true && error?.message.contains(word) == true)
        let result = try shop.build {
            self.als(&$0)
            $0.skipBadRows = true
        }
        #expect(result.manifest.rejectedRows == 1 && result.manifest.interactions == 3 && result.manifest.users == 31)
        #expect(result.rejectsFile != nil)
    }

    /// A solved vector that no search can compute with is none: a regularization of 1e30 leaves lengths of 1e-30.
    @Test func historiesWithoutASolution() throws {
        let shop = try Shop()
        try shop.write(["user1\titem1\t3", "user2\titem1\t1", "new\titem1\t3"])
        let result = try shop.build {
            self.als(&$0)
            $0.regularization = 1e30
        }
        #expect(result.manifest.foldIn?.unsolvedUsers == 3 && result.manifest.users == 30)
        let stored = try Stored(result)
        #expect(try stored.vector("user1") == self.trained(shop, "user1"))
        #expect(stored.vector("new") == nil && stored.historyByItem("new") == ["item1": 3])
    }

    /// Of alpha times weight, line by line and added up, at the limit and above it.
    @Test func weightsThatSolvesCannotHold() throws {
        let shop = try Shop()
        func build(_ lines: [String], alpha: Double) throws -> BuildResult {
            try shop.write(lines)
            return try shop.build {
                self.als(&$0)
                $0.alpha = alpha
            }
        }
        #expect(throws: Never.self) { try build(["user1\titem1\t1e5", "user1\titem2\t-1e5"], alpha: 10) }
        let single = #expect(throws: AnnexError.self) {
            try build(["user1\titem1\t2", "user1\titem2\t1e5"], alpha: 20)
        }
        #expect(
            single?.location?.hasSuffix("history.tsv:2:3") == true && single?.message.contains("times alpha 20") == true
        )
        // The advice: smaller weights, or a smaller alpha.
        #expect(throws: Never.self) { try build(["user1\titem1\t.02", "user1\titem2\t1e3"], alpha: 20) }
        #expect(throws: Never.self) { try build(["user1\titem1\t2", "user1\titem2\t1e5"], alpha: 2) }
        let lines = [String](repeating: "user1\titem1\t6e5", count: 2)
        let sum = #expect(throws: AnnexError.self) { try build(lines, alpha: 1) }
        #expect(sum?.message.contains("all lines together") == true && sum?.message.contains("'item1'") == true)
    }

    /// Whoever writes a manifest anew with checksums that fit gets no value past that is impossible.
    @Test func manifestsThatCannotBe() throws {
        let manifest = try Shop().build(self.als).manifest
        let changes: [(inout Manifest) -> Void] = [
            { $0.foldIn?.method = "\u{1b}[2J" }, { $0.foldIn?.method = "ridge" }, { $0.foldIn?.alpha = nil },
            { $0.foldIn?.alpha = -1 }, { $0.foldIn?.regularization = 0 }, { $0.foldIn?.solvedUsers = 35 },
            { $0.foldIn?.unsolvedUsers = -1 }, { $0.foldIn?.meanDistance = -1 }, { $0.foldIn = nil },
            { $0.histories = nil }, { $0.histories = -1 }, { $0.histories = Int.max }, { $0.interactions = 28 },
            { $0.interactions = Int.max }, { $0.trainedUntil = nil }, { $0.trainedUntil = -1 },
            { $0.trainedUntil = Int64.max }, { $0.format = 4 }, { $0.files.removeFirst() }, { $0.files[0].bytes += 8 },
        ]
        #expect(try Manifest.decode(manifest.encoded(), at: "m") == manifest)
        for (number, change) in changes.enumerated() {
            var forged = manifest
            change(&forged)
            let error = #expect(throws: AnnexError.self, "\(number)") { try Manifest.decode(forged.encoded(), at: "m") }
            #expect(
                error?.code == .damaged && error?.description.unicodeScalars.allSatisfy { $0.value >= 0x20 } == true
            )
        }
    }

    /// The same rows by number: of a matrix of another shape, and of users and items that were left out.
    @Test func matrices() throws {
        let shop = try Shop(items: 60, users: 4)
        func archive(_ rows: Int, _ columns: Int, _ entries: [(row: Int, column: Int)]) throws {
            func array(_ values: [Int]) -> Data {
                let head = "{'descr': '<i8', 'fortran_order': False, 'shape': (\(values.count),), }"
                let padded = head.padding(toLength: 117, withPad: " ", startingAt: 0) + "\n"
                let body = values.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
                return Data([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 118, 0]) + Data(padded.utf8) + Data(body)
            }
            let head = "{'descr': '|S3', 'fortran_order': False, 'shape': (), }"
                .padding(toLength: 117, withPad: " ", startingAt: 0)
            let format = Data([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 118, 0]) + Data((head + "\ncsr").utf8)
            let ends = (0...rows).map { row in entries.count { $0.row < row } }
            let members = [
                ("indices", array(entries.map(\.column))), ("indptr", array(ends)), ("format", format),
                ("shape", array([rows, columns])), ("data", array(entries.map { _ in 2 })),
            ]
            try ZipFile.stored(members.map { ($0.0 + ".npy", $0.1) }).write(
                to: URL(fileURLWithPath: shop.index.folder.file("history.npz"))
            )
        }
        func build(skipping: Bool = false) throws -> BuildResult {
            try shop.build {
                self.als(&$0)
                ($0.history, $0.skipBadRows, $0.attributes) = ("history.npz", skipping, nil)
            }
        }
        let entries = [(row: 0, column: 3), (row: 2, column: 0), (row: 2, column: 59)]
        try archive(4, 60, entries)
        let stored = try Stored(build())
        #expect(stored.historyByItem("user0") == ["item3": 2] && stored.historyByItem("user1") == [:])
        #expect(stored.historyByItem("user2") == ["item0": 2, "item59": 2])
        for (rows, columns, word) in [(3, 60, "same model"), (4, 61, "same model"), (60, 4, "matrix.T")] {
            try archive(rows, columns, [])
            let error = #expect(throws: AnnexError.self) { try build() }
            #expect(error?.location?.hasSuffix("history.npz") == true && error?.hint?.contains(word) == true)
        }
        // Rows that stay out take nobody else's place.
        for (file, bad) in [("items.csv", "item0,"), ("users.csv", "user0,")] {
            let path = shop.index.folder.file(file)
            let text = try String(contentsOfFile: path, encoding: .utf8)
            try text.split(separator: "\n").map { $0.hasPrefix(bad) ? bad + "nan" : String($0) }
                .joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
        }
        try archive(4, 60, entries)
        let result = try build(skipping: true)
        #expect(result.manifest.rejectedRows == 4 && result.manifest.interactions == 1)
        #expect(try Stored(result).historyByItem("user2") == ["item59": 2])
    }

    @Test func historiesWithoutLines() throws {
        let shop = try Shop()
        try shop.write(["user\titem"])
        let error = #expect(throws: AnnexError.self) { try shop.build(self.als) }
        #expect(error?.location?.hasSuffix("history.tsv") == true)
    }
}

/// A ZIP archive of members that are not packed.
private enum ZipFile {
    static func stored(_ members: [(String, Data)]) -> Data {
        var (file, directory) = (Data(), Data())
        func little(_ value: Int, _ bytes: Int) -> Data {
            Data((0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) })
        }
        for (name, data) in members {
            let common =
                little(20, 2) + Data(count: 8) + little(Self.crc(data), 4) + little(data.count, 4)
                + little(data.count, 4) + little(name.utf8.count, 2) + little(0, 2)
            directory += Data([0x50, 0x4b, 1, 2, 20, 0]) + common + Data(count: 10) + little(file.count, 4)
            directory += Data(name.utf8)
            file += Data([0x50, 0x4b, 3, 4]) + common + Data(name.utf8) + data
        }
        let place = file.count
        return file + directory + Data([0x50, 0x4b, 5, 6]) + Data(count: 4) + little(members.count, 2)
            + little(members.count, 2) + little(directory.count, 4) + little(place, 4) + Data(count: 2)
    }

    private static func crc(_ data: Data) -> Int {
        var value: UInt32 = ~0
        for byte in data {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? (value >> 1) ^ 0xedb8_8320 : value >> 1 }
        }
        return Int(~value)
    }
}

@Suite struct FoldInRecipeTests {
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
        let recipe = try self.read(
            "history: h.npz\ntrained-until: 1700000000000\nfold-in: als\nregularization: 1e-2\nalpha: 40\n"
        )
        #expect(recipe.history == "h.npz" && recipe.trainedUntil == 1_700_000_000_000 && recipe.foldIn == .als)
        #expect(recipe.regularization == 0.01 && recipe.alpha == 40)
        #expect(try self.read("fold-in: none\n").foldIn == nil)
        #expect(try self.read("fold-in: ridge\nregularization: 3\nmetric: l2\n").foldIn == .ridge)
        let bare = try self.read("fold-in: als\nregularization: 3\nmetric: cosine\n")
        #expect(bare.rendered["alpha"] == "1.0" && bare.rendered["fold-in"] == "als")
        #expect(try self.read("").rendered["fold-in"] == nil)
    }

    @Test(arguments: [
        ("history: h.tsv", "trained-until"), ("trained-until: 5", "history"), ("fold-in: als", "regularization"),
        ("fold-in: lasso", "lasso"), ("regularization: 1", "fold-in"), ("alpha: 1", "fold-in"),
        ("fold-in: none\nregularization: 1", "fold-in"), ("fold-in: ridge\nregularization: 1\nalpha: 2", "ridge"),
        ("fold-in: als\nregularization: 0", "regularization"), ("fold-in: als\nregularization: -1", "regularization"),
        ("fold-in: als\nregularization: nan", "regularization"),
        ("fold-in: als\nregularization: 1e999", "regularization"),
        ("fold-in: als\nregularization: 1\nalpha: 0", "alpha"), ("fold-in: als\nregularization: 1\nmetric: l2", "l2"),
        ("history: h.tsv\ntrained-until: -1", "trained-until"),
        ("history: h.tsv\ntrained-until: 1e12", "trained-until"),
        ("history: h.tsv\ntrained-until: 999999999999999999", "trained-until"), ("user-ids: u.txt", "users"),
    ])
    func contradictions(_ text: String, _ word: String) throws {
        let error = #expect(throws: AnnexError.self) { try self.read(text + "\n") }
        #expect(error?.code == .usage && "\(error!)".contains(word), "\(error!)")
    }
}
