import AnnexBuild
import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore
import AnnexTestSupport
import Foundation
import Testing

/// Biased models came with format 6: `Tests/Golden/v6` and `v7` are read and answer as NumPy does, and the latter comes out
/// of its source again.
@Suite struct GoldenBiasTests {
    private static let folder =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path + "/Golden"
    private static let users = ["guest", "user-0", "user-1", "user-2", "user-3", "user-4"]

    private static func vector(_ user: String, _ store: UserStore) throws -> [Float] {
        let reader = try store.makeReader()
        var row = [Float](repeating: .nan, count: 9)
        let found = reader.copyVector(of: Array(user.utf8).span, into: &row)
        #expect(found, "\(user)")
        return row
    }

    private static func store(_ folder: String) throws -> UserStore {
        try UserStore(folder: folder + "/" + VersionLayout.users, dimension: 9, itemCount: 60)
    }

    @Test(arguments: [(6, "shop"), (7, "biased")]) func itAnswersAsNumPyDoes(_ format: Int, _ name: String) throws {
        let verified = try Verifier.verify(indexFolder: Self.folder + "/v\(format)/\(name)")
        let manifest = verified.manifest
        #expect(manifest.format == format && manifest.dimension == 8 && manifest.storedDimension == 9)
        #expect(manifest.bias?.model == ModelBias(globalMean: 3.5, hasUserBiases: true))
        #expect(manifest.users == 6 && manifest.histories == 5 && manifest.foldIn?.solvedUsers == 1)
        let path = verified.folder
        let vectors = try VectorFile(path: path + "/" + VersionLayout.vectors, rows: 60, dimension: 9)
        let items = try ItemStore(path: path + "/" + VersionLayout.items)
        let layout = try ScanLayout.load(
            path: path + "/" + VersionLayout.serving,
            metric: .ip,
            rows: 60,
            dimension: 9
        )
        let store = try Self.store(path)
        let data = try Data(contentsOf: URL(fileURLWithPath: Self.folder + "/v6/source/expected.json"))
        let expected = try #require(try JSONSerialization.jsonObject(with: data) as? [String: [[Any]]])
        #expect(expected.count == 5)
        for (user, top) in expected {
            var query = try Self.vector(user, store)
            let constant = query[8]
            query[8] = 1
            let norm = Float(query.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot())
            var scratch = SearchScratch()
            var hits: [Hit] = []
            _ = try Searcher(index: nil, layout: layout, vectors: vectors, metric: .ip).search(
                query: query.span,
                queryNorm: norm,
                k: 5,
                effort: .exact,
                exclusion: ExclusionMarks(rows: 60),
                scratch: &scratch,
                hits: &hits
            )
            #expect(hits.count == 5)
            for (hit, want) in zip(hits, top) {
                #expect(items.identifier(hit.ordinal) == Array(try #require(want[0] as? String).utf8))
                #expect(abs(Double(hit.score + constant) - (try #require(want[1] as? Double))) < 2e-5)
            }
        }
    }

    @Test func theSameSourceGivesTheSameRows() throws {
        let built = try TemporaryFolder()
        let (factors, source) = (Self.folder + "/source/", Self.folder + "/v6/source/")
        var recipe = Recipe(name: try #require(EntryName("shop")), vectors: factors + "items.npy", folder: "/")
        recipe.ids = factors + "items.txt"
        (recipe.users, recipe.userIDs) = (factors + "users.npy", factors + "users.txt")
        (recipe.bias, recipe.userBias, recipe.globalMean) = (source + "bias.txt", source + "user-bias.npy", 3.5)
        recipe.implicitFactors = source + "implicit.npy"
        (recipe.history, recipe.trainedUntil) = (source + "history.tsv", 1_700_000_000_000)
        (recipe.foldIn, recipe.regularization, recipe.index) = (.ridge, 0.5, "HNSW8")
        var pipeline = BuildPipeline(recipe: recipe, indexFolder: built.file("shop"), threads: 1) { _ in }
        let fresh = try pipeline.run().folder
        let golden = try Verifier.verify(indexFolder: Self.folder + "/v7/biased").folder
        for file in VersionLayout.files(withUsers: false, withFoldIn: true) {
            let bytes = try [fresh, golden].map { try Data(contentsOf: URL(fileURLWithPath: $0 + "/" + file)) }
            #expect(bytes[0] == bytes[1], "\(file)")
        }
        let stores = try [fresh, golden].map { try Self.store($0) }
        for user in Self.users {
            let rows = try stores.map { try Self.vector(user, $0) }
            // What OpenBLAS solves has other last bits on another processor.
            #expect(user == "guest" ? zip(rows[0], rows[1]).allSatisfy { abs($0 - $1) < 1e-5 } : rows[0] == rows[1])
        }
    }
}
