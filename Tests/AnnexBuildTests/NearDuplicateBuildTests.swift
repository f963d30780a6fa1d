import AnnexBuild
import AnnexCore
import AnnexTestSupport
import Foundation
import Testing

/// A catalogue of near-duplicates is built like any other. Its exact search once missed items that a plain scan finds, and the
/// build stopped and asked for a report.
@Suite struct NearDuplicateBuildTests {
    static let seed: UInt64 = 20_261_129

    private func build(_ metric: Metric, _ kind: String) throws -> (BuiltIndex, BuildResult) {
        let index = try BuiltIndex(items: 1, users: 1)
        var random = SeededRandom(seed: Self.seed)
        let centers = (0..<8).map { _ in (0..<5).map { _ in random.normal() } }
        func text(_ prefix: String, _ rows: [[Float]]) -> String {
            rows.enumerated().map { row, values in
                "\(prefix)\(row)," + values.map { "\($0)" }.joined(separator: ",")
            }.joined(separator: "\n")
        }
        let items = (0..<1_200).map { centers[$0 % 8].map { $0 * (1 + 6e-5 * random.normal()) } }
        let users = (0..<300).map { centers[$0 % 8].map { $0 + random.normal() } }
        try text("item", items).write(toFile: index.folder.file("items.csv"), atomically: true, encoding: .utf8)
        try text("user", users).write(toFile: index.folder.file("users.csv"), atomically: true, encoding: .utf8)
        let result = try index.build {
            ($0.metric, $0.index, $0.recall, $0.attributes) = (metric, kind, 0.5, nil)
        }
        return (index, result)
    }

    @Test(arguments: [Metric.ip, .cosine], ["IVF8,Flat", "HNSW8"]) func itIsPublished(_ metric: Metric, _ kind: String)
        throws
    {
        let (index, result) = try self.build(metric, kind)
        #expect(result.manifest.items == 1_200 && result.manifest.users == 300)
        _ = try Verifier.verify(indexFolder: index.indexFolder)
    }

    @Test func leavingAllOutIsAnError() throws {
        let (index, result) = try self.build(.ip, "IVF8,Flat")
        func benchmark(_ excluding: QueryRun.Exclusion) throws {
            _ = try IndexBenchmark(
                folder: result.folder,
                queries: .users,
                limit: 3,
                k: 10,
                usesFaiss: false,
                excluding: excluding,
                seed: 1,
                threads: 1
            )
        }
        for excluding in [QueryRun.Exclusion.random(1_200), .ownTop(5_000)] {
            let error = #expect(throws: AnnexError.self) { try benchmark(excluding) }
            #expect(error?.code == .usage && error?.hint == "Leave out at most 1199", "\(String(describing: error))")
        }
        try benchmark(.random(1_199))
        try benchmark(.ownTop(1_199))
        _ = index.folder  // It lives to here.
    }
}
