import AnnexCore
import AnnexIndex
import AnnexTestSupport
import Foundation
import Testing

/// Index files as somebody could write them who recomputes every checksum: what is refused is refused by an error, and what
/// passes can be searched. `ANNEX_FORGERIES` files per kind and metric.
@Suite struct ForgedFileTests {
    private static let seed: UInt64 = 20_241_123

    private static func forge(_ whole: Data, _ random: inout SeededRandom) -> (data: Data, what: String) {
        var data = whole
        // Headers and tables of lengths stand at the front and at the end; what lies between are mostly codes.
        let place: Int =
            switch Int.random(in: 0..<4, using: &random) {
            case 0: Int.random(in: 0..<min(whole.count, 160), using: &random)
            case 1: max(0, whole.count - Int.random(in: 1...200, using: &random))
            default: Int.random(in: 0..<whole.count, using: &random)
            }
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
            data[place] ^= UInt8(1 << Int.random(in: 0..<8, using: &random))
            return (data, "a bit of byte \(place)")
        case 1:
            data[place] = UInt8.random(in: 0...255, using: &random)
            return (data, "byte \(place)")
        case 2, 3:
            let values: [UInt64] = [
                0, 1, 2, 7, 24, 255, 1 << 16, 1 << 20, 1 << 31, 1 << 32, 1 << 39, UInt64(whole.count), .max, .max >> 1,
            ]
            let value = values.randomElement(using: &random) ?? 0
            let width = Bool.random(using: &random) ? 8 : 4
            for byte in 0..<width where place + byte < data.count {
                data[place + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
            }
            return (data, "\(width) bytes from \(place) as \(value)")
        case 4:
            let length = min(whole.count - place, Int.random(in: 1..<400, using: &random))
            data.replaceSubrange(
                place..<place + length,
                with: Data(repeating: Bool.random(using: &random) ? 0 : 0xff, count: length)
            )
            return (data, "\(length) bytes from \(place) overwritten")
        default:
            return (whole.prefix(place), "cut to \(place)")
        }
    }

    @Test(arguments: OracleTests.kinds, [Metric.ip, .l2])
    func forgedIndexFiles(_ text: String, _ metric: Metric) throws {
        let tries = ProcessInfo.processInfo.environment["ANNEX_FORGERIES"].flatMap { Int($0) } ?? 60
        let fixture = try Fixture(rows: 300, dimension: 16)
        let kind = try IndexKind(parsing: text)
        let path = fixture.folder.file("forged.faiss")
        try VectorIndex.build(kind: kind, metric: metric, vectors: fixture.vectors, seed: 3, threads: 1) { _ in }
            .write(path: path)
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        _ = try VectorIndex.load(path: path, kind: kind, metric: metric, dimension: 16, rows: 300)
        var random = SeededRandom(seed: Self.seed)
        var refused = 0
        for turn in 0..<tries {
            let (data, what) = Self.forge(whole, &random)
            try data.write(to: URL(fileURLWithPath: path))
            do {
                let index = try VectorIndex.load(path: path, kind: kind, metric: metric, dimension: 16, rows: 300)
                for effort in [SearchEffort.efSearch(8), .nprobe(8)] {
                    let (hits, _) = try fixture.search(index, fixture.rows[turn % 300], k: 20, effort)
                    #expect(hits.count == 20 && hits.allSatisfy { (0..<300).contains($0.ordinal) }, "\(what)")
                }
                _ = index.links(of: Int32(turn % 300))
            } catch let error as AnnexError {
                refused += 1
                #expect([.damaged, .system].contains(error.code), "\(what): \(error)")
            }
        }
        print(
            "forgedIndexFiles: \(text) \(metric), seed \(Self.seed), \(tries) forgeries, \(refused) refused, 0 crashes"
        )
    }

    /// A whole file under the name of another kind. PCA and OPQ of one dimension look the same in a file.
    @Test func filesOfOtherKindsAreRefused() throws {
        let kinds = OracleTests.kinds + ["IVF8,PQ4", "PCA8,IVF16,Flat", "HNSW8", "IVF8,Flat", "OPQ4_8,IVF8,PQ4"]
        let fixture = try Fixture(rows: 300, dimension: 24)
        let path = fixture.folder.file("other.faiss")
        func form(_ kind: String) -> String {
            kind.replacing("OPQ8_16", with: "PCA16").replacing("OPQ4_8", with: "PCA8")
        }
        var refused = 0
        for written in kinds {
            try VectorIndex.build(
                kind: IndexKind(parsing: written),
                metric: .ip,
                vectors: fixture.vectors,
                seed: 3,
                threads: 1
            ) { _ in }
            .write(path: path)
            for told in kinds {
                let kind = try IndexKind(parsing: told)
                let isLoaded =
                    (try? VectorIndex.load(path: path, kind: kind, metric: .ip, dimension: 24, rows: 300)) != nil
                #expect(isLoaded == (form(written) == form(told)), "\(written) as \(told)")
                refused += isLoaded ? 0 : 1
            }
        }
        print("filesOfOtherKindsAreRefused: \(refused) of \(kinds.count * kinds.count) pairs refused")
    }

    /// `serving.bin` the same way; of a header drawn more often, as its counts say where everything lies.
    @Test(arguments: ["Flat", "IVF16,Flat", "HNSW8"], Metric.allCases)
    func forgedServingFiles(_ text: String, _ metric: Metric) throws {
        let tries = 2 * (ProcessInfo.processInfo.environment["ANNEX_FORGERIES"].flatMap { Int($0) } ?? 60)
        let fixture = try Fixture(rows: 700, dimension: 18)
        let path = fixture.folder.file("forged.bin")
        let index = try VectorIndex.build(
            kind: IndexKind(parsing: text),
            metric: metric,
            vectors: fixture.vectors,
            seed: 3,
            threads: 1
        ) { _ in }
        try index.scanLayout(vectors: fixture.vectors, threads: 1).layout.write(path: path)
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        func load() throws -> ScanLayout {
            try ScanLayout.load(path: path, metric: metric, rows: 700, dimension: 18)
        }
        _ = try load()
        var random = SeededRandom(seed: Self.seed)
        var refused = 0
        for turn in 0..<tries {
            var (data, what) = Self.forge(whole, &random)
            if turn % 3 == 0 {
                data = whole
                let place = Int.random(in: 8..<56, using: &random)
                data[place] = UInt8.random(in: 0...255, using: &random)
                what = "header byte \(place)"
            }
            try data.write(to: URL(fileURLWithPath: path))
            do {
                let layout = try load()
                for effort in [SearchEffort.exact, .kappa(0.5), .nprobe(3), .efSearch(24)] {
                    let (hits, _) = try fixture.search(index, fixture.rows[turn % 700], k: 20, effort, layout: layout)
                    #expect(hits.count <= 20 && hits.allSatisfy { (0..<700).contains($0.ordinal) }, "\(what)")
                }
            } catch let error as AnnexError {
                refused += 1
                #expect([.damaged, .system].contains(error.code), "\(what): \(error)")
            }
        }
        print(
            "forgedServingFiles: \(text) \(metric), seed \(Self.seed), \(tries) forgeries, \(refused) refused, 0 crashes"
        )
    }
}
