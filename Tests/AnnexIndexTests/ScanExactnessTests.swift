import AnnexCore
import AnnexIndex
import AnnexTestSupport
import Foundation
import Testing

/// `TRUTH` over codes is the ranking of float32 scores, whatever the rows look like: made to break bounds.
@Suite struct ScanExactnessTests {
    static let seed: UInt64 = 20_261_124
    static let shapes = [
        "normal", "long tail of lengths", "few directions", "many equal rows", "zeros among them",
        "against the centroid",
        "tiny", "huge", "one large component", "far from the origin",
    ]

    private func row(_ shape: String, _ number: Int, _ dimension: Int, _ random: inout SeededRandom) -> [Float] {
        let row = (0..<dimension).map { _ in random.normal() }
        switch shape {
        case "long tail of lengths": return row.map { $0 * 10 / Float(1 + number) }
        case "few directions":
            let kind = number % 3
            return row.enumerated().map { place, value in place % 3 == kind ? 2 + 0.1 * value : 0.1 * value }
        case "many equal rows": return row.indices.map { Float(($0 + number % 4) % 5) }
        case "zeros among them": return number % 5 == 0 ? row.map { _ in 0 } : row
        case "against the centroid": return row.map { number % 2 == 0 ? -1 + 0.2 * $0 : 1 + 0.2 * $0 }
        case "tiny": return row.map { $0 * 1e-12 }
        case "huge": return row.map { $0 * 1e12 }
        case "one large component": return row.enumerated().map { $0 == 0 ? 50 + $1 : $1 }
        case "far from the origin": return row.map { 100 + $0 }
        default: return row
        }
    }

    @Test(arguments: shapes, Metric.allCases) func theSameAsAPlainScan(_ shape: String, _ metric: Metric) throws {
        var random = SeededRandom(seed: Self.seed)
        for (dimension, count) in [(1, 40), (3, 700), (24, 1_200), (130, 900)] {
            let folder = try TemporaryFolder()
            let path = folder.file("vectors.f32")
            let rows = (0..<count).map { self.row(shape, $0, dimension, &random) }
            let writer = try VectorFileWriter(path: path, rows: count, dimension: dimension)
            for (ordinal, row) in rows.enumerated() {
                try writer.write(row: row.span, ordinal: ordinal)
            }
            try writer.finish()
            let vectors = try VectorFile(path: path, rows: count, dimension: dimension)
            let index = try VectorIndex.build(
                kind: IndexKind(parsing: "IVF8,Flat"),
                metric: metric,
                vectors: vectors,
                seed: 5,
                threads: 2
            ) { _ in }
            let builder = ScanBuilder(vectors: vectors, metric: metric, threads: 2)
            var layouts = [try builder.ordered(), try builder.rowCodes()]
            if index.kind.scansClusters(metric) {
                layouts.append(try index.scanLayout(vectors: vectors, threads: 2).layout)
            }
            let plain = Searcher(index: nil, layout: nil, vectors: vectors, metric: metric)
            for number in 0..<25 {
                let query = number % 4 == 3 ? rows[number * 7 % count] : self.row(shape, number, dimension, &random)
                let k = [1, 3, 10, 70][number % 4]
                let expected = try self.search(plain, query, k, count)
                for layout in layouts {
                    let searcher = Searcher(index: nil, layout: layout, vectors: vectors, metric: metric)
                    let found = try self.search(searcher, query, k, count)
                    #expect(
                        found == expected,
                        "\(shape), \(metric), \(count) × \(dimension), query \(number), k \(k), \(layout.clusters) clusters, seed \(Self.seed)"
                    )
                }
            }
        }
    }

    private func search(_ searcher: Searcher, _ query: [Float], _ k: Int, _ rows: Int) throws -> [Hit] {
        var scratch = SearchScratch()
        var hits: [Hit] = []
        let norm = Float(query.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot())
        _ = try searcher.search(
            query: query.span,
            queryNorm: norm,
            k: k,
            effort: .exact,
            exclusion: ExclusionMarks(rows: rows),
            scratch: &scratch,
            hits: &hits
        )
        return hits
    }

    @Test func aLayoutIsTheSameFromDiskAndWithAnyNumberOfThreads() throws {
        let fixture = try Fixture(rows: 1_300, dimension: 19)
        let index = try VectorIndex.build(
            kind: IndexKind(parsing: "IVF8,Flat"),
            metric: .ip,
            vectors: fixture.vectors,
            seed: 5,
            threads: 1
        ) { _ in }
        var contents: [[UInt8]] = []
        for threads in [1, 2, 5] {
            let path = fixture.folder.file("serving-\(threads)")
            try index.scanLayout(vectors: fixture.vectors, threads: threads).layout.write(path: path)
            contents.append(try Array(Data(contentsOf: URL(fileURLWithPath: path))))
            let loaded = try ScanLayout.load(path: path, metric: .ip, rows: 1_300, dimension: 19)
            #expect(loaded.byteCount == contents[0].count && loaded.clusters <= 8)
        }
        #expect(contents[0] == contents[1] && contents[0] == contents[2])
    }

    @Test func aFileThatIsNoLayoutIsRefused() throws {
        let fixture = try Fixture(rows: 300, dimension: 8)
        let path = fixture.folder.file("serving")
        try ScanBuilder(vectors: fixture.vectors, metric: .ip, threads: 1).ordered().write(path: path)
        let whole = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
        func refused(_ bytes: [UInt8], rows: Int = 300, metric: Metric = .ip) throws -> Bool {
            let bent = fixture.folder.file("bent")
            try Data(bytes).write(to: URL(fileURLWithPath: bent))
            do throws(AnnexError) {
                _ = try ScanLayout.load(path: bent, metric: metric, rows: rows, dimension: 8)
                return false
            } catch { return error.code == .damaged }
        }
        #expect(try !refused(whole))
        #expect(try refused(whole, rows: 301) && refused(whole, metric: .cosine))
        for length in [0, 1, 63, 64, whole.count / 2, whole.count - 1] { #expect(try refused(Array(whole[..<length]))) }
        #expect(try refused(whole + [0]))
        var faults = 0
        var random = SeededRandom(seed: Self.seed)
        // Counts in the header, at their limits and anywhere.
        for place in 0..<64 {
            for value in [0, 1, 127, 255, UInt8.random(in: 0...255, using: &random)] where whole[place] != value {
                // Formats 1 and 2 are known too, and as long on inner products.
                if place == 8, [1, 2].contains(value) { continue }
                var bent = whole
                bent[place] = value
                faults += 1
                #expect(try refused(bent), "header byte \(place) = \(value)")
            }
        }
        #expect(faults > 200)
        print("bent headers of serving.bin: \(faults), all refused")
    }
}
