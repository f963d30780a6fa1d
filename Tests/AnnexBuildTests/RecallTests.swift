import AnnexBuild
import AnnexCore
import AnnexIndex
import AnnexTestSupport
import Foundation
import Testing

@Suite struct RecallTests {
    /// Scores of all items, in double precision, best first.
    /// The recall@10 of each user by plain Double arithmetic, users in byte order of their ids, each leaving out their own
    /// best `leftOut`.
    private func recalls(
        of result: BuildResult,
        _ index: BuiltIndex,
        _ metric: Metric,
        _ effort: SearchEffort,
        leavingOut leftOut: Int = 0
    ) throws -> [Double] {
        let (rows, dimension) = (result.manifest.items, result.manifest.dimension)
        let vectors = try VectorFile(
            path: result.folder + "/" + VersionLayout.vectors,
            rows: rows,
            dimension: dimension
        )
        let faiss = try VectorIndex.load(
            path: result.folder + "/" + VersionLayout.index,
            kind: IndexKind(parsing: result.manifest.kind),
            metric: metric,
            dimension: dimension,
            rows: rows
        )
        let layout = try ScanLayout.load(
            path: result.folder + "/" + VersionLayout.serving,
            metric: metric,
            rows: rows,
            dimension: dimension
        )
        let searcher = Searcher(index: faiss, layout: layout, vectors: vectors, metric: metric)
        let users = try String(contentsOfFile: index.folder.file("users.csv"), encoding: .utf8).split(separator: "\n")
            .map { $0.split(separator: ",") }.sorted { Array($0[0].utf8).lexicographicallyPrecedes(Array($1[0].utf8)) }
        var scratch = SearchScratch()
        var hits: [Hit] = []
        return try users.map { fields -> Double in
            let query = fields.dropFirst().compactMap { Float($0) }
            let norm = Float(query.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot())
            let best = self.bruteForce(query, vectors, metric)
            var exclusion = ExclusionMarks(rows: rows)
            exclusion.begin()
            for item in best.prefix(leftOut) { exclusion.mark(item.ordinal) }
            _ = try searcher.search(
                query: query.span,
                queryNorm: norm,
                k: 10,
                effort: effort,
                exclusion: exclusion,
                scratch: &scratch,
                hits: &hits
            )
            let tenth = best[leftOut + 9].score
            let sign: Double = metric == .l2 ? -1 : 1
            return Double(hits.count { sign * Double($0.score) >= tenth - 1e-5 * max(1, abs(tenth)) }) / 10
        }
    }

    /// Best first.
    private func bruteForce(
        _ query: [Float],
        _ vectors: VectorFile,
        _ metric: Metric
    ) -> [(ordinal: Int32, score: Double)] {
        func norm(_ vector: [Float]) -> Double { vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }
        let scores = (0..<vectors.rows).map { ordinal -> (ordinal: Int32, score: Double) in
            let row = vectors.withRow(ordinal) { Array(copying: $0) }
            let dot = zip(query, row).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            let score =
                switch metric {
                case .ip: dot
                case .cosine: dot / max(norm(query) * norm(row), .leastNormalMagnitude)
                case .l2: -zip(query, row).reduce(0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
                }
            return (Int32(ordinal), score)
        }
        return scores.sorted { ($0.score, $1.ordinal) > ($1.score, $0.ordinal) }
    }

    /// Of 600 items 30 may be a user's own best; nothing is too deep for a kind whose last step reads everything.
    @Test(arguments: ["HNSW4", "IVF16,SQ8", "Flat"], Metric.allCases)
    func whatUsersGetWhoHaveSeenTheBest(_ kind: String, _ metric: Metric) throws {
        let index = try BuiltIndex(items: 600, users: 120, dimension: 8)
        let result = try index.build {
            $0.index = kind
            $0.metric = metric
            $0.recall = 0.8
        }
        let (plain, deep) = (result.manifest.measured.chosen, try #require(result.manifest.measuredLeavingOut))
        #expect(deep.items == 30 && deep.queryCount == 120)
        #expect(deep.point.knob == "exact" || (deep.point.knob == plain.knob && deep.point.value >= plain.value))
        let found = try self.recalls(of: result, index, metric, deep.point.effort, leavingOut: 30)
        #expect(abs(deep.point.recall - found.reduce(0, +) / 120) < 2e-6)
        #expect(abs(deep.point.worst - (found.min() ?? 0)) < 2e-6)
        #expect(deep.point.recallLowerBound >= 0.8)
        #expect(result.manifest.defaultEffort.leavingOut(30, of: 600) == deep.point.effort)
    }

    /// What the manifest says of the chosen point is what the index does, query by query.
    @Test(arguments: ["HNSW4", "IVF16,SQ8", "IVF16,PQ2"], Metric.allCases)
    func theManifestSaysWhatBruteForceFinds(_ kind: String, _ metric: Metric) throws {
        let index = try BuiltIndex(items: 600, users: 120, dimension: 8)
        let result = try index.build {
            $0.index = kind
            $0.metric = metric
            $0.recall = 0.8
        }
        let recalls = try self.recalls(of: result, index, metric, result.manifest.defaultEffort.plain)
        let choosing = recalls.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
        let reporting = recalls.enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
        func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
        let deviation = (choosing.reduce(0) { $0 + pow($1 - mean(choosing), 2) } / Double(choosing.count - 1))
            .squareRoot()
        let measured = result.manifest.measured
        #expect(measured.queryCount == 120 && measured.queries == "users")
        #expect(abs(measured.chosen.recall - mean(choosing)) < 2e-6)
        #expect(abs(measured.chosen.recallLowerBound - (mean(choosing) - 1.645 * deviation / 60.0.squareRoot())) < 2e-6)
        #expect(abs(measured.chosen.worst - (choosing.min() ?? 0)) < 2e-6)
        #expect(abs(measured.reportedRecall - mean(reporting)) < 2e-6)
        #expect(abs(measured.reportedWorst - (reporting.min() ?? 0)) < 2e-6)
        #expect(measured.table.last == measured.chosen, "the smallest that reaches the target ends the ladder")
        #expect(measured.table.dropLast().allSatisfy { $0.recallLowerBound < 0.8 })
        #expect((measured.unreachableItems != nil) == kind.hasPrefix("HNSW"))
    }

    /// Every item scores the same: whichever ten come are right.
    @Test(arguments: ["Flat", "HNSW8", "IVF4,Flat"]) func equalScoresAreHits(_ kind: String) throws {
        let index = try BuiltIndex(items: 200, users: 20, dimension: 3)
        try (0..<200).map { "item\($0),1,2,3" }.joined(separator: "\n")
            .write(toFile: index.folder.file("items.csv"), atomically: true, encoding: .utf8)
        let measured = try index.build {
            $0.index = kind
            $0.recall = 1
        }.manifest.measured
        #expect(measured.reportedRecall == 1 && measured.reportedWorst == 1 && measured.table.count == 1)
    }

    @Test(arguments: Metric.allCases) func vectorsOfLengthZero(_ metric: Metric) throws {
        let index = try BuiltIndex(items: 30, users: 2, dimension: 3)
        try (0..<30).map { "item\($0),\($0 < 15 ? "0,0,0" : "\($0),1,-2")" }.joined(separator: "\n")
            .write(toFile: index.folder.file("items.csv"), atomically: true, encoding: .utf8)
        func change(_ recipe: inout Recipe) {
            recipe.index = "HNSW4"
            recipe.metric = metric
            recipe.users = nil
        }
        guard metric != .cosine else {
            let error = #expect(throws: AnnexError.self) { try index.build(change) }
            #expect(error?.location?.hasSuffix("items.csv:1") == true && error?.hint?.contains("metric ip") == true)
            return
        }
        let measured = try index.build(change).manifest.measured
        #expect(measured.queries == "items with noise" && measured.reportedRecall == 1)
    }

    @Test(arguments: [1, 2, 9, 11]) func fewerItemsThanTen(_ items: Int) throws {
        let index = try BuiltIndex(items: items, users: 1, dimension: 3)
        for kind in ["Flat", "HNSW4"] {
            let manifest = try index.build { $0.index = kind }.manifest
            #expect(
                manifest.items == items && manifest.measured.queryCount == 1 && manifest.measured.reportedRecall == 1
            )
        }
    }

    /// A sample of more users than needed: the same with one seed, another with another.
    @Test func tenThousandQueriesAtMost() throws {
        let index = try BuiltIndex(items: 12, users: 10_100, dimension: 2)
        let measured = try index.build {
            $0.index = "Flat"
            $0.attributes = nil
        }.manifest.measured
        #expect(measured.queryCount == 10_000 && measured.reportedRecall == 1 && measured.chosen.knob == "exact")
    }

    /// Threads change the times, not what is measured.
    @Test func twoThreadsMeasureTheSame() throws {
        let index = try BuiltIndex(items: 500, users: 101, dimension: 8)
        var recipe = try index.recipe(kind: "IVF16,SQ8")
        recipe.recall = 0.9
        let results = try [1, 2, 3].map { threads in
            var pipeline = BuildPipeline(recipe: recipe, indexFolder: index.indexFolder, threads: threads) { _ in }
            return try pipeline.run().manifest.measured
        }
        #expect(results[0] == results[1] && results[1] == results[2])
    }
}
