import AnnexBuild
import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore
import AnnexTestSupport
import Foundation
import Testing

/// Versions that earlier programs wrote, `Tests/Golden/v4` to `v7`, must still be read and answer as NumPy does; of `v1` to `v3`
/// there are manifests, which are refused. A change of the format needs a new number and a new folder beside them.
@Suite struct GoldenVersionTests {
    private static let golden =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path + "/Golden/"
    private let source = Self.golden + "source/"

    private func folder(_ format: Int) -> String { Self.golden + "v\(format)" }

    private func recipe() throws -> Recipe {
        var recipe = Recipe(name: try #require(EntryName("shop")), vectors: self.source + "items.npy", folder: "/")
        recipe.ids = self.source + "items.txt"
        recipe.attributes = self.source + "items.jsonl"
        recipe.users = self.source + "users.npy"
        recipe.userIDs = self.source + "users.txt"
        recipe.index = "HNSW8"
        return recipe
    }

    /// The old version stands in the way of nothing that the error advises.
    @Test(arguments: [1, 2, 3]) func olderFormatsAreRefusedAndBuiltAgain(_ format: Int) throws {
        let place = try TemporaryFolder()
        let index = place.file("shop")
        try FileManager.default.copyItem(atPath: self.folder(format) + "/shop", toPath: index)
        let old = try PublishedVersions.requiredCurrent(of: index)
        let error = try #require(throws: AnnexError.self) { try Verifier.verify(indexFolder: index) }
        #expect(error.code == .damaged && error.location?.hasSuffix("\(old)/manifest.json") == true, "\(error)")
        #expect(error.message.contains("format \(format), which annctl wrote before"), "\(error)")
        #expect(error.hint?.contains("annctl build") == true, "\(error)")
        var pipeline = BuildPipeline(recipe: try self.recipe(), indexFolder: index, threads: 1) { _ in }
        _ = try pipeline.run()
        let verified = try Verifier.verify(indexFolder: index)
        #expect(verified.version > old && verified.manifest.format == Manifest.currentFormat)
        #expect(try PublishedVersions.prune(index, keep: 1) == [old])
    }

    @Test(arguments: [4, 7]) func everyFormatIsStillRead(_ format: Int) throws {
        let verified = try Verifier.verify(indexFolder: self.folder(format) + "/shop")
        let manifest = verified.manifest
        #expect(
            manifest.format == format && manifest.items == 60 && manifest.users == 5
                && manifest.itemsWithAttributes == 60
        )
        try self.expectAnswers(of: verified, usersOf: verified, .ip, [.exact, .efSearch(60)], "expected.json")
    }

    /// Codes on cosine have been without the mean of all rows since format 4, and bounds of clusters hold for rows close
    /// together since format 7; those of the earlier ones are widened as they are read.
    @Test(arguments: [4, 7], ["lists", "graph"]) func soIsEveryFormatOnCosine(_ format: Int, _ kind: String) throws {
        let verified = try Verifier.verify(indexFolder: self.folder(format) + "/cosine-" + kind)
        #expect(verified.manifest.format == format && verified.manifest.metric == "cosine")
        let efforts: [SearchEffort] = kind == "graph" ? [.exact, .efSearch(48)] : [.exact, .nprobe(4), .kappa(1)]
        let users = try Verifier.verify(indexFolder: self.folder(4) + "/shop")
        try self.expectAnswers(of: verified, usersOf: users, .cosine, efforts, "expected-cosine.json")
    }

    /// Histories came with format 5, and vectors that are solved from them: those of four users, and of one that the
    /// trainer did not know.
    @Test func histories() throws {
        let verified = try Verifier.verify(indexFolder: self.folder(5) + "/shop")
        let manifest = verified.manifest
        #expect(manifest.format == 5 && manifest.users == 6 && manifest.histories == 5 && manifest.interactions == 35)
        #expect(manifest.trainedUntil == 1_700_000_000_000)
        #expect(manifest.foldIn?.parsedMethod == .als(regularization: 0.5, alpha: 2))
        try self.expectAnswers(of: verified, usersOf: verified, .ip, [.exact], "expected.json", inSourceOf: 5)
        let golden = try FoldInModel.load(path: verified.folder + "/" + VersionLayout.foldIn, dimension: 8)

        let built = try TemporaryFolder()
        let source = self.source
        var recipe = Recipe(name: try #require(EntryName("shop")), vectors: source + "items.npy", folder: "/")
        (recipe.ids, recipe.users, recipe.userIDs) = (source + "items.txt", source + "users.npy", source + "users.txt")
        (recipe.history, recipe.trainedUntil) = (self.folder(5) + "/source/history.tsv", 1_700_000_000_000)
        (recipe.foldIn, recipe.regularization, recipe.alpha) = (.als, 0.5, 2)
        recipe.index = "HNSW8"
        var pipeline = BuildPipeline(recipe: recipe, indexFolder: built.file("shop"), threads: 1) { _ in }
        let fresh = try pipeline.run().folder
        // OpenBLAS sums in another order on another processor: what is solved is the same but for the last bits.
        let model = try FoldInModel.load(path: fresh + "/" + VersionLayout.foldIn, dimension: 8)
        #expect(model.method == golden.method)
        for (a, b) in zip(model.gram, golden.gram) { #expect(abs(a - b) < 1e-12 * max(1, abs(b))) }
        // Codes and links are those of the same rows without a history.
        let latest = try Verifier.verify(indexFolder: self.folder(7) + "/shop").folder
        for file in [VersionLayout.index, VersionLayout.items, VersionLayout.serving, VersionLayout.vectors] {
            let golden = file == VersionLayout.serving ? latest : verified.folder
            let bytes = try [fresh, golden].map { try Data(contentsOf: URL(fileURLWithPath: $0 + "/" + file)) }
            #expect(bytes[0] == bytes[1], "\(file)")
        }
        let readers = try [fresh, verified.folder].map {
            try UserStore(folder: $0 + "/" + VersionLayout.users, dimension: 8, itemCount: 60).makeReader()
        }
        for user in ["guest", "user-0", "user-1", "user-2", "user-3", "user-4"] {
            let histories = readers.map { reader in
                reader.withHistory(of: Array(user.utf8).span) { history in
                    history.map { history in
                        (0..<history.count).map {
                            HistoryEntry(ordinal: history.ordinal($0), weight: history.weight($0))
                        }
                    }
                }
            }
            #expect(histories[0] == histories[1] && (histories[0] == nil) == (user == "user-4"))
        }
    }

    private func expectAnswers(
        of verified: VerifiedVersion,
        usersOf other: VerifiedVersion,
        _ metric: Metric,
        _ efforts: [SearchEffort],
        _ file: String,
        inSourceOf format: Int? = nil
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
        let data = try Data(
            contentsOf: URL(fileURLWithPath: (format.map { self.folder($0) + "/source/" } ?? self.source) + file)
        )
        let expected = try #require(try JSONSerialization.jsonObject(with: data) as? [String: [[Any]]])
        #expect(expected.count == 5)
        for (user, top) in expected {
            var query = [Float](repeating: 0, count: 8)
            let isFound = users.copyVector(of: Array(user.utf8).span, into: &query)
            #expect(isFound)
            let norm = Float(query.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot())
            for effort in efforts {
                var scratch = SearchScratch()
                var hits: [Hit] = []
                _ = try Searcher(index: index, layout: layout, vectors: vectors, metric: metric).search(
                    query: query.span,
                    queryNorm: norm,
                    k: 5,
                    effort: effort,
                    exclusion: ExclusionMarks(rows: 60),
                    scratch: &scratch,
                    hits: &hits
                )
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
        var pipeline = BuildPipeline(recipe: try self.recipe(), indexFolder: built.file("shop"), threads: 1) { _ in }
        let fresh = try pipeline.run().folder
        let golden = try Verifier.verify(indexFolder: self.folder(7) + "/shop").folder
        for file in VersionLayout.files(withUsers: true) {
            let bytes = try [fresh, golden].map { try Data(contentsOf: URL(fileURLWithPath: $0 + "/" + file)) }
            #expect(bytes[0] == bytes[1], "\(file)")
        }
    }
}
