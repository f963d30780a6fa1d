import AnnexCore
import AnnexEngine
import AnnexIndex
import AnnexTestSupport
import AnnexVersionSupport
import Testing

/// Queries on a biased model; truth is sums over its files, row by row.
@Suite struct BiasTests {
    private static let dimension = 12

    /// A loaded version and its rows.
    private func load(_ kind: String) throws -> (ServedVersion, [[Float]]) {
        var small = try SmallVersion(items: 300, users: 8, dimension: Self.dimension + 1, kind: kind)
        small.description.dimension = Self.dimension
        small.description.bias = ModelBias(globalMean: 3.5, hasUserBiases: true)
        let vectors = try VectorFile(
            path: small.description.files.vectors,
            rows: 300,
            dimension: Self.dimension + 1
        )
        return (
            try ServedVersion(loading: small.description), (0..<300).map { vectors.withRow($0) { Array(copying: $0) } }
        )
    }

    @Test(arguments: ["Flat", "IVF4,SQ8", "HNSW8"]) func usersGetBiasesItemsDoNot(_ kind: String) throws {
        let (version, rows) = try self.load(kind)
        let context = try QueryContext(version)
        let last = Self.dimension
        for number in 0..<8 {
            let isKnown =
                try context.useUser(Array("u\(number)".utf8).span, UserRequest(leavesOutSeen: false)) == .ready
            #expect(isKnown)
            _ = try context.search(k: 300, effort: .exact)
            let all = context.hits
            #expect(all.map(\.ordinal).sorted() == Array(0..<300))
            #expect(zip(all, all.dropFirst()).allSatisfy { ($1.score, $0.ordinal) < ($0.score, $1.ordinal) })
            // All scores less x · y + b_i are one number, μ + b_u.
            for hit in all { #expect(context.score(hit.ordinal) == hit.score) }
            _ = try context.search(k: 10, effort: .exact)
            #expect(context.hits == Array(all.prefix(10)))
            context.useItem(Int32(number))
            for other in [0, 5, 299] {
                let dot = (0..<last).reduce(0.0) { $0 + Double(rows[number][$1]) * Double(rows[other][$1]) }
                #expect(abs(Double(context.score(Int32(other))) - dot) < 1e-4)
            }
            _ = try context.search(k: 10, effort: .exact)
            let best = rows.map { row in (0..<last).reduce(0.0) { $0 + Double(rows[number][$1]) * Double(row[$1]) } }
            #expect(abs(Double(try #require(context.hits.first).score) - (best.max() ?? 0)) < 1e-4)
        }
    }

    @Test func theConstantIsAddedOnce() throws {
        let (version, rows) = try self.load("Flat")
        let context = try QueryContext(version)
        // A client's vector: components of the factors alone, no bias.
        #expect(context.useVector(count: 13) { _ in 1 } == .length(13))
        #expect(context.useVector(count: 12) { Float($0) } == nil)
        let plain = (0..<12).reduce(0.0) { $0 + Double($1) * Double(rows[7][$1]) }
        #expect(abs(Double(context.score(7)) - plain) < 1e-4)
        #expect(context.withVector(7) { Array(copying: $0) } == Array(rows[7][..<12]))
        // The same user twice, another query in between.
        func best() throws -> [Hit] {
            _ = try context.useUser(Array("u3".utf8).span, UserRequest())
            _ = try context.search(k: 5, effort: .exact)
            return context.hits
        }
        let first = try best()
        context.useItem(2)
        #expect(try best() == first && best() == first)
    }
}
