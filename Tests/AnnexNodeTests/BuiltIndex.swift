import AnnexBuild
import AnnexCore
import AnnexTestSupport
import Foundation
import Testing

/// An index that was built from rows the test knows: items `i0` …, users `u0` …, inner product, every search exact.
struct BuiltIndex {
    static let dimension = 6
    static let items = 60
    static let users = 12

    let folder: TemporaryFolder
    var path: String { self.folder.file("shop") }

    init() throws { self.folder = try TemporaryFolder() }

    private static func rows(_ prefix: String, _ count: Int, _ seed: UInt64) -> [String: [Double]] {
        var random = SeededRandom(seed: seed)
        // Whole numbers below 2^24 in every sum: float32 loses nothing of them.
        var rows: [String: [Double]] = [:]
        for row in 0..<count {
            rows[prefix + "\(row)"] = (0..<Self.dimension).map { _ in (Double(random.normal()) * 100).rounded() }
        }
        return rows
    }

    /// Builds a version and makes it current. Versions of different seeds have the same ids and other rows.
    @discardableResult func build(seed: UInt64) throws -> EntryName {
        for (file, rows) in [
            ("items.csv", Self.rows("i", Self.items, seed)), ("users.csv", Self.rows("u", Self.users, seed + 1_000)),
        ] {
            try rows.map { id, row in id + "," + row.map { "\($0)" }.joined(separator: ",") }.sorted()
                .joined(separator: "\n")
                .write(toFile: self.folder.file(file), atomically: true, encoding: .utf8)
        }
        var recipe = Recipe(name: try #require(EntryName("shop")), vectors: "items.csv", folder: self.folder.path)
        recipe.users = "users.csv"
        recipe.index = "Flat"
        recipe.metric = .ip
        recipe.seed = seed
        var pipeline = BuildPipeline(recipe: recipe, indexFolder: self.path, threads: 1) { _ in }
        return try pipeline.run().version
    }

    /// The user's best items by rows of that seed, by sums in float64.
    static func best(_ user: String, _ k: Int, seed: UInt64) -> [String] {
        let items = Self.rows("i", Self.items, seed)
        let row = Self.rows("u", Self.users, seed + 1_000)[user] ?? []
        func score(_ item: [Double]) -> Double { zip(item, row).reduce(0) { $0 + $1.0 * $1.1 } }
        return items.sorted { score($0.value) > score($1.value) }.prefix(k).map(\.key)
    }

    /// Makes a version current as a tool does that proves nothing.
    func use(_ version: EntryName) throws {
        let link = self.path + "/.new-current"
        try FileManager.default.createSymbolicLink(
            atPath: link,
            withDestinationPath: "versions/\(version)"
        )
        #expect(rename(link, self.path + "/current") == 0)
    }

    /// Flips a bit in the middle of a version's vectors.
    func damage(_ version: EntryName) throws {
        let file = self.path + "/versions/\(version)/" + VersionLayout.vectors
        var data = try Data(contentsOf: URL(fileURLWithPath: file))
        data[data.count / 2] ^= 4
        // Versions are read-only.
        try FileManager.default.removeItem(atPath: file)
        try data.write(to: URL(fileURLWithPath: file))
    }
}
