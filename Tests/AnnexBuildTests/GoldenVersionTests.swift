import AnnexBuild
import AnnexCore
import AnnexIndex
import AnnexStore
import AnnexTestSupport
import Foundation
import Testing

/// Versions that earlier programs wrote, `Tests/Golden/v1` to `v4`, must still be read and answer as NumPy does. A
/// change of the format needs a new number and a new folder beside them.
@Suite struct GoldenVersionTests {
    private func folder(_ format: Int) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
            + "/Golden/v\(format)"
    }

    @Test(arguments: [1, 2, 3, 4]) func everyFormatIsStillRead(_ format: Int) throws {
        let verified = try Verifier.verify(indexFolder: self.folder(format) + "/shop")
        let manifest = verified.manifest
        #expect(
            manifest.format == format && manifest.items == 60 && manifest.users == 5
                && manifest.itemsWithAttributes == 60
        )
        try self.expectAnswers(of: verified, usersOf: verified, .ip, [.exact, .efSearch(60)], "expected.json")
    }

    /// Codes on cosine have been without the mean of all rows since format 4.
    @Test(arguments: [3, 4], ["lists", "graph"]) func soIsEveryFormatOnCosine(_ format: Int, _ kind: String) throws {
        let verified = try Verifier.verify(indexFolder: self.folder(format) + "/cosine-" + kind)
        #expect(verified.manifest.format == format && verified.manifest.metric == "cosine")
        let efforts: [SearchEffort] = kind == "graph" ? [.exact, .efSearch(48)] : [.exact, .nprobe(4), .kappa(1)]
        let users = try Verifier.verify(indexFolder: self.folder(1) + "/shop")
        try self.expectAnswers(of: verified, usersOf: users, .cosine, efforts, "expected-cosine.json")
    }

    private func expectAnswers(
        of verified: VerifiedVersion,
        usersOf other: VerifiedVersion,
        _ metric: Metric,
        _ efforts: [SearchEffort],
        _ file: String
    ) throws {
        let path = verified.folder
        let vectors = try VectorFile(path: path + "/" + VersionLayout.vectors, rows: 60, dimension: 8)
        let items = try ItemStore(path: path + "/" + VersionLayout.items)
        let users = try UserStore(folder: other.folder + "/" + VersionLayout.users, dimension: 8).makeReader()
        let index = try VectorIndex.load(
            path: path + "/" + VersionLayout.index,
            kind: try #require(verified.manifest.parsedKind),
            metric: metric,
            dimension: 8,
            rows: 60
        )
        let layout =
            try verified.manifest.format < 2
            ? nil
            : ScanLayout.load(
                path: path + "/" + VersionLayout.serving,
                metric: metric,
                rows: 60,
                dimension: 8
            )
        let data = try Data(contentsOf: URL(fileURLWithPath: self.folder(1) + "/source/" + file))
        let expected = try #require(try JSONSerialization.jsonObject(with: data) as? [String: [[Any]]])
        #expect(expected.count == 5)
        for (user, top) in expected {
            var query = [Float](repeating: 0, count: 8)
            #expect(
                Array(user.utf8).withUnsafeBytes { id in
                    query.withUnsafeMutableBufferPointer { users.copyVector(of: id, into: $0) }
                }
            )
            let norm = Float(query.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot())
            for effort in efforts {
                var scratch = SearchScratch()
                var hits: [Hit] = []
                _ = try query.withUnsafeBufferPointer {
                    try Searcher(index: index, layout: layout, vectors: vectors, metric: metric).search(
                        query: $0,
                        queryNorm: norm,
                        k: 5,
                        effort: effort,
                        exclusion: ExclusionMarks(rows: 60),
                        scratch: &scratch,
                        hits: &hits
                    )
                }
                for (hit, want) in zip(hits, top) {
                    #expect(
                        items.identifier(hit.ordinal) == Array(try #require(want[0] as? String).utf8)
                    )
                    #expect(abs(Double(hit.score) - (try #require(want[1] as? Double))) < 2e-5)
                }
                #expect(hits.count == 5)
            }
        }
    }

    /// The same source gives the same bytes as then, or the format has changed without a new number.
    @Test func theSameSourceGivesTheSameVectorsAndItems() throws {
        let built = try TemporaryFolder()
        let source = self.folder(1) + "/source/"
        var recipe = Recipe(name: try #require(EntryName("shop")), vectors: source + "items.npy", folder: "/")
        recipe.ids = source + "items.txt"
        recipe.attributes = source + "items.jsonl"
        recipe.users = source + "users.npy"
        recipe.userIDs = source + "users.txt"
        recipe.index = "HNSW8"
        var pipeline = BuildPipeline(recipe: recipe, indexFolder: built.file("shop"), threads: 1) { _ in }
        let fresh = try pipeline.run().folder
        let golden = try Verifier.verify(indexFolder: self.folder(Manifest.currentFormat) + "/shop").folder
        for file in VersionLayout.files(withUsers: true) {
            let bytes = try [fresh, golden].map { try Data(contentsOf: URL(fileURLWithPath: $0 + "/" + file)) }
            #expect(bytes[0] == bytes[1], "\(file)")
        }
    }
}
