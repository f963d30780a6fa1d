import AnnexCore
import AnnexIndex
import AnnexTestSupport
import Foundation
import Testing

/// `serving.bin` before format 3 has bounds that are too narrow where rows lie close together: they are widened when such
/// a file is read, and a search is as exact as with a file of today.
@Suite struct NarrowBoundsTests {
    static let seed: UInt64 = 20_261_129

    @Test func theyAreWidened() throws {
        var random = SeededRandom(seed: Self.seed)
        var wrong = ["as written": 0, "widened": 0]
        var answers = 0
        for _ in 0..<24 {
            let drawn = DrawnRows(.tightClusters, count: 300, dimensions: 2...40, &random)
            let fixture = try Fixture(drawn.rows)
            let oracle = ScoreOracle(drawn.rows, .cosine)
            let file = try OldServingFile(drawn, fixture)
            let layouts = [("as written", try file.layout(format: 3)), ("widened", try file.layout(format: 2))]
            for number in 0..<12 {
                let query = drawn.query(&random)
                let scores = oracle.scores(query)
                let k = [1, 5, 20][number % 3]
                answers += 1
                for (name, layout) in layouts {
                    let searcher = Searcher(index: nil, layout: layout, vectors: fixture.vectors, metric: .cosine)
                    let hits = try fixture.hits(searcher, query, k: k, .exact)
                    if oracle.problem(hits, scores, k: k, isExact: true) != nil { wrong[name, default: 0] += 1 }
                }
            }
        }
        print("narrow bounds, seed \(Self.seed): \(answers) answers each, wrong \(wrong)")
        #expect(wrong["widened"] == 0 && wrong["as written"] ?? 0 > 0, "\(wrong)")
    }
}

/// Clusters on `cosine`, with bounds as earlier programs wrote them: √(|x|² − (x·d)²) across the direction d.
private struct OldServingFile {
    private var bytes: [UInt8]
    private let fixture: Fixture
    private let path: String

    init(_ drawn: DrawnRows, _ fixture: Fixture) throws {
        self.fixture = fixture
        let path = fixture.folder.file("serving")
        try ScanBuilder(vectors: fixture.vectors, metric: .cosine, threads: 1)
            .clustered(lists: drawn.lists, count: drawn.clusters).write(path: path)
        self.path = fixture.folder.file("old")
        self.bytes = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
        self.narrow()
    }

    func layout(format: UInt8) throws -> ScanLayout {
        var bytes = self.bytes
        bytes[8] = format
        try Data(bytes).write(to: URL(fileURLWithPath: self.path))
        return try .load(
            path: self.path,
            metric: .cosine,
            rows: self.fixture.rows.count,
            dimension: self.fixture.vectors.dimension
        )
    }

    private func number<T: BitwiseCopyable>(_ at: Int, _ type: T.Type) -> T {
        self.bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: type) }
    }

    private mutating func put(_ value: Float, _ at: Int) {
        self.bytes.withUnsafeMutableBytes { $0.storeBytes(of: value, toByteOffset: at, as: Float.self) }
    }

    private mutating func narrow() {
        let header = (2..<7).map { Int(self.number($0 * 8, UInt64.self)) }
        let (dimension, blocks, clusters) = (header[1], header[2], header[4])
        let components = (dimension + 3) / 4 * 4
        var at = 64
        func part(_ bytes: Int) -> Int {
            defer { at += (bytes + 63) / 64 * 64 }
            return at
        }
        _ = (part(blocks * components * 32), part(blocks * 32 * 4))
        let ordinals = part(blocks * 32 * 4)
        let (along, across, least) = (part(blocks * 4), part(blocks * 4), part(blocks * 4))
        _ = (part(blocks * 4), part(blocks * 4))
        let (firstBlocks, directions) = (part((clusters + 1) * 4), part(clusters * components * 4))
        for cluster in 0..<clusters {
            let first = Int(self.number(firstBlocks + cluster * 4, UInt32.self))
            let end = Int(self.number(firstBlocks + cluster * 4 + 4, UInt32.self))
            let direction = (0..<dimension).map {
                self.number(directions + (cluster * components + $0) * 4, Float.self)
            }
            var (most, beside, fewest) = (-Float.infinity, Float(0), Float.infinity)
            for block in (first..<end).reversed() {
                for place in 0..<32 {
                    let ordinal = self.number(ordinals + (block * 32 + place) * 4, Int32.self)
                    guard ordinal >= 0 else { continue }
                    let row = self.fixture.rows[Int(ordinal)]
                    let scale = 1 / self.fixture.vectors.norm(Int(ordinal))
                    let unit = row.map { Double($0 * scale) }
                    let product = zip(unit, direction).reduce(0.0) { $0 + $1.0 * Double($1.1) }
                    let square = unit.reduce(0.0) { $0 + $1 * $1 }
                    most = max(most, Float(product))
                    fewest = min(fewest, Float(product))
                    beside = max(beside, Float(max(0, square - product * product).squareRoot()))
                }
                self.put(most, along + block * 4)
                self.put(beside, across + block * 4)
                self.put(fewest, least + block * 4)
            }
        }
    }
}
