import AnnexCore
import AnnexTestSupport
import CAnnexKernels
import Testing

/// Every version of the kernels against arithmetic in plain Swift, and bit for bit against each other.
@Suite(.serialized) struct KernelTests {
    static let seed: UInt64 = 20_261_123

    /// Those that this processor has.
    static let versions = ["plain", "avx2", "avx512"].filter { name in
        let before = String(cString: CAnnexKernels_name())
        defer { CAnnexKernels_use(before) }
        return CAnnexKernels_use(name) == 0
    }

    private func withEach<R: Equatable>(_ what: String, _ body: () -> R) -> R {
        let before = String(cString: CAnnexKernels_name())
        defer { CAnnexKernels_use(before) }
        let results = Self.versions.map { name in
            CAnnexKernels_use(name)
            return body()
        }
        for (name, result) in zip(Self.versions, results) {
            #expect(result == results[0], "\(what): \(name) differs from \(Self.versions[0]), seed \(Self.seed)")
        }
        return results[0]
    }

    @Test func anUnknownVersionIsRefused() {
        #expect(CAnnexKernels_use("abacus") == -1)
        #expect(Self.versions.contains("plain"))
        print("kernels compared bit for bit: \(Self.versions.joined(separator: ", "))")
    }

    @Test func productsOfRowsHaveEqualBitsInEveryDimension() {
        var random = SeededRandom(seed: Self.seed)
        for dimension in 1...2_048 {
            let a = (0..<dimension).map { _ in random.normal() }
            let b = (0..<dimension).map { _ in random.normal() * Float(1 + dimension % 7) }
            let bits = self.withEach("dimension \(dimension)") {
                [
                    CAnnexKernels_dot(a, b, dimension).bitPattern, CAnnexKernels_l2(a, b, dimension).bitPattern,
                    CAnnexKernels_largest(a, dimension).bitPattern,
                ]
            }
            let dot = zip(a, b).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
            let lengths = (a.reduce(0.0) { $0 + Double($1 * $1) } * b.reduce(0.0) { $0 + Double($1 * $1) }).squareRoot()
            #expect(abs(Double(Float(bitPattern: bits[0])) - dot) <= 1e-6 * lengths)
            #expect(Float(bitPattern: bits[2]) == a.map(abs).max())
        }
    }

    @Test func rowsThatLieApart() {
        var random = SeededRandom(seed: Self.seed)
        let rows = (0..<40 * 48).map { _ in random.normal() }
        let query = (0..<37).map { _ in random.normal() }
        let ordinals: [Int32] = [39, 0, 7, 7, 21]
        let bits = self.withEach("rows") {
            var out = [Float](repeating: 0, count: 10)
            CAnnexKernels_dot_at(query, rows, 48, 37, ordinals, 5, &out)
            out.withUnsafeMutableBufferPointer {
                CAnnexKernels_l2_at(query, rows, 48, 37, ordinals, 5, $0.baseAddress! + 5)
            }
            return out.map(\.bitPattern)
        }
        for (place, ordinal) in ordinals.enumerated() {
            let row = Array(rows[Int(ordinal) * 48..<Int(ordinal) * 48 + 37])
            #expect(bits[place] == CAnnexKernels_dot(query, row, 37).bitPattern)
            #expect(bits[5 + place] == CAnnexKernels_l2(query, row, 37).bitPattern)
        }
    }

    @Test(arguments: [1, 15, 16, 17, 31, 33, 128, 2_048]) func codesRoundToEvenAndAreBounded(_ count: Int) {
        var random = SeededRandom(seed: Self.seed)
        var values = (0..<count).map { _ in random.normal() * 40 }
        for (place, value) in [Float(0.5), 1.5, -2.5, 500, -500, 126.5].enumerated() where place < count {
            values[place] = value
        }
        let codes = self.withEach("encode \(count)") {
            var out = [Int8](repeating: 99, count: count)
            CAnnexKernels_encode(values, count, 1, &out)
            return out
        }
        let expected = values.map { Int8(max(-127, min(127, $0.rounded(.toNearestOrEven)))) }
        #expect(codes == expected)
        var zeros = [Int8](repeating: 9, count: count)
        CAnnexKernels_encode(values, count, 0, &zeros)
        #expect(zeros.allSatisfy { $0 == 0 })
    }

    // MARK: Blocks of codes

    @Test func scoresOfBlocksInEveryNumberOfGroups() {
        var random = SeededRandom(seed: Self.seed)
        for groups in Array(1...70) + [127, 256, 512, 1_024] {
            // The extremes are where an instruction that saturates would show.
            let extreme = groups % 3 == 0
            let blocks = CodeBlocks(blocks: 2, groups: groups, extreme: extreme, biased: groups % 2 == 0, &random)
            let bits = self.withEach("groups \(groups)") { blocks.scores().map(\.bitPattern) }
            #expect(bits == blocks.expectedScores().map(\.bitPattern))
        }
    }

    @Test func scoresOfRowsInEveryStride() {
        var random = SeededRandom(seed: Self.seed)
        for stride in stride(from: 64, through: 2_048, by: 64) {
            let extreme = stride % 192 == 0
            let rows = CodeBlocks(
                blocks: 2,
                groups: stride / 4 - stride / 64 % 5,
                stride: stride,
                extreme: extreme,
                biased: stride % 128 == 0,
                &random
            )
            let bits = self.withEach("stride \(stride)") { rows.scores().map(\.bitPattern) }
            let expected = rows.expectedScores().map(\.bitPattern)
            #expect(bits == expected)
            for count in [0, 1, 3, 4, 5, 8, 9, 31] {
                let places = (0..<count).map { _ in Int32.random(in: 0..<64, using: &random) }
                let some = self.withEach("\(count) rows") { rows.scores(at: places).map(\.bitPattern) }
                #expect(some == places.map { expected[Int($0)] })
            }
            for (a, b) in [(0, 1), (5, 5), (63, 2)] {
                #expect(self.withEach("codes") { rows.product(a, b) } == rows.expectedProduct(a, b), "stride \(stride)")
            }
        }
    }

    private static func isMarked(_ marks: [UInt64], _ epoch: UInt64, _ ordinal: Int32) -> Bool {
        let (word, bit) = Int(ordinal).quotientAndRemainder(dividingBy: 32)
        return marks[word] >> 32 == epoch && marks[word] >> UInt64(bit) & 1 == 1
    }

    @Test(arguments: [16, 32, 64]) func thePoolKeepsTheBest(_ capacity: Int) {
        var random = SeededRandom(seed: Self.seed)
        for round in 0..<60 {
            let blocks = CodeBlocks(blocks: 1 + round, groups: 1 + round % 5, extreme: false, biased: false, &random)
            // Words of three epochs, of which one counts.
            let marks = (0..<(blocks.items + 31) / 32).map { _ in
                UInt64.random(in: 1...3, using: &random) << 32 | UInt64(UInt32.random(in: 0...(.max), using: &random))
            }
            let usesMarks = round % 2 == 0
            let k = Int.random(in: 1...capacity, using: &random)
            let found = self.withEach("pool of \(capacity), round \(round)") {
                blocks.pool(capacity: capacity, k: k, marks: usesMarks ? marks : nil, epoch: 2).map {
                    [$0.0.bitPattern, UInt32(bitPattern: $0.1)]
                }
            }
            let scores = blocks.expectedScores()
            let eligible = scores.indices.filter {
                blocks.ordinals[$0] >= 0 && !(usesMarks && Self.isMarked(marks, 2, blocks.ordinals[$0]))
            }
            let best = eligible.map { scores[$0] }.sorted(by: >).prefix(capacity)
            #expect(found.prefix(best.count).map { Float(bitPattern: $0[0]) } == Array(best), "seed \(Self.seed)")
            #expect(found.dropFirst(best.count).allSatisfy { Float(bitPattern: $0[0]) == -.infinity })
            for (score, ordinal) in found.prefix(best.count).map({
                (Float(bitPattern: $0[0]), Int32(bitPattern: $0[1]))
            }) {
                let place = blocks.ordinals.firstIndex(of: ordinal)
                #expect(place.map { scores[$0] } == score)
            }
        }
    }

    @Test func collectGivesEveryItemAboveItsBlocksThreshold() {
        var random = SeededRandom(seed: Self.seed)
        for round in 0..<40 {
            let blocks = CodeBlocks(blocks: 20, groups: 3, extreme: false, biased: round % 2 == 0, &random)
            let scores = blocks.expectedScores()
            let threshold = scores.sorted(by: >)[20 + round]
            let slacks = (0..<20).map { _ in Float.random(in: 0..<2, using: &random) }
            let found = self.withEach("collect") { blocks.collect(threshold: threshold, slacks: slacks, weight: 0.5) }
            let expected = scores.indices.filter { scores[$0] >= threshold - 0.5 * slacks[$0 / 32] }.map { UInt32($0) }
            #expect(found == expected, "seed \(Self.seed), round \(round)")
        }
    }

    /// Infinity × 0 is no number, and no comparison with it proves anything.
    @Test func whatIsNoNumberLeavesNothingOut() {
        var random = SeededRandom(seed: Self.seed)
        let blocks = CodeBlocks(blocks: 20, groups: 3, extreme: false, biased: false, &random)
        let scores = blocks.expectedScores()
        let slacks = (0..<20).map { [0, Float.nan, .infinity, 1][$0 % 4] }
        for threshold in [scores.sorted(by: >)[10], .nan, .infinity, -.infinity] {
            for bound in [Float.nan, .infinity] {
                let found = self.withEach("collect") {
                    blocks.collect(threshold: threshold, slacks: slacks, weight: 0.5, bound: bound)
                }
                let expected = scores.indices.filter { !(scores[$0] < threshold - 0.5 * slacks[$0 / 32]) }
                #expect(found == expected.map { UInt32($0) }, "threshold \(threshold), bound \(bound)")
                #expect(!threshold.isNaN || found.count == scores.count)
            }
        }
    }

    @Test func aScanEndsWhereNoBoundReachesTheKth() {
        var random = SeededRandom(seed: Self.seed)
        let blocks = CodeBlocks(blocks: 30, groups: 4, extreme: false, biased: false, &random)
        for stop in [1, 2, 17, 30] {
            let read = self.withEach("stop") { blocks.blocksRead(stop: stop) }
            #expect(read == stop)
        }
    }
}

/// Blocks of random codes with a random query, and what their scores must be.
struct CodeBlocks {
    let blocks: Int
    let groups: Int
    /// 0 for interleaved blocks.
    let stride: Int
    let bytes: [UInt8]
    let scales: [Float]
    let biases: [Float]?
    let ordinals: [Int32]
    let query: [Int8]
    var items: Int { self.blocks * 32 }
    private var correction: Int32 { 128 * self.query.reduce(0) { $0 + Int32($1) } }

    init(blocks: Int, groups: Int, stride: Int = 0, extreme: Bool, biased: Bool, _ random: inout SeededRandom) {
        self.blocks = blocks
        self.groups = groups
        self.stride = stride
        func code() -> Int {
            extreme ? (Bool.random(using: &random) ? 127 : -127) : Int.random(in: -127...127, using: &random)
        }
        self.bytes = (0..<blocks * 32 * max(groups * 4, stride)).map { place in
            UInt8(stride > 0 && place % stride >= groups * 4 ? 128 : code() + 128)
        }
        self.query = (0..<max(groups * 4, stride)).map { Int8($0 < groups * 4 ? code() : 0) }
        self.scales = (0..<blocks * 32).map { _ in Float.random(in: 0.001..<1, using: &random) }
        self.biases = biased ? (0..<blocks * 32).map { _ in random.normal() * 100 } : nil
        // Unlike each other, with some padding.
        var ordinals = (0..<Int32(blocks * 32)).shuffled(using: &random)
        for place in ordinals.indices where place % 29 == 28 { ordinals[place] = -1 }
        self.ordinals = ordinals
    }

    func expectedScores() -> [Float] {
        (0..<self.items).map { item in
            var sum = 0
            for component in 0..<self.groups * 4 {
                let block = (item / 32 * self.groups + component / 4) * 128 + item % 32 * 4 + component % 4
                let at = self.stride > 0 ? item * self.stride + component : block
                sum += (Int(self.bytes[at]) - 128) * Int(self.query[component])
            }
            let score = self.scales[item] * Float(sum)
            return self.biases.map { score + $0[item] * 0.25 } ?? score
        }
    }

    private func withCodes<R>(
        _ body: (inout CAnnexKernels_Codes, inout CAnnexKernels_Query) -> R
    ) -> R {
        self.bytes.withUnsafeBufferPointer { bytes in
            self.scales.withUnsafeBufferPointer { scales in
                (self.biases ?? []).withUnsafeBufferPointer { biases in
                    self.ordinals.withUnsafeBufferPointer { ordinals in
                        self.query.withUnsafeBufferPointer { query in
                            var codes = CAnnexKernels_Codes(
                                codes: bytes.baseAddress,
                                scales: scales.baseAddress,
                                biases: self.biases == nil ? nil : biases.baseAddress,
                                ordinals: ordinals.baseAddress,
                                groups: self.groups,
                                stride: self.stride
                            )
                            var wanted = CAnnexKernels_Query(
                                codes: query.baseAddress,
                                correction: self.correction,
                                biasFactor: 0.25
                            )
                            return body(&codes, &wanted)
                        }
                    }
                }
            }
        }
    }

    func scores() -> [Float] {
        var out = [Float](repeating: 0, count: self.items)
        self.withCodes { CAnnexKernels_block_scores(&$0, &$1, 0, self.blocks, &out) }
        return out
    }

    func scores(at places: [Int32]) -> [Float] {
        var out = [Float](repeating: 0, count: places.count)
        self.withCodes { CAnnexKernels_scores_at(&$0, &$1, places, places.count, &out) }
        return out
    }

    func product(_ a: Int, _ b: Int) -> Int32 {
        self.bytes.withUnsafeBufferPointer {
            CAnnexKernels_code_product(
                $0.baseAddress! + a * self.stride,
                $0.baseAddress! + b * self.stride,
                self.stride
            )
        }
    }

    func expectedProduct(_ a: Int, _ b: Int) -> Int32 {
        (0..<self.stride).reduce(0) {
            $0 + (Int32(self.bytes[a * self.stride + $1]) - 128) * (Int32(self.bytes[b * self.stride + $1]) - 128)
        }
    }

    func pool(capacity: Int, k: Int, marks: [UInt64]?, epoch: UInt32) -> [(Float, Int32)] {
        var pool = CAnnexKernels_Pool()
        CAnnexKernels_empty(&pool, Int32(capacity), Int32(k))
        let bounds = [Float](repeating: .infinity, count: self.blocks)
        bounds.withUnsafeBufferPointer { along in
            var limit = CAnnexKernels_Bounds(along: along.baseAddress, across: along.baseAddress, a: 1, b: 1, c: 0)
            self.withCodes { codes, query in
                // In two calls: the pool carries over.
                let half = self.blocks / 2
                _ = (marks ?? []).withUnsafeBufferPointer { marked in
                    let list = marks == nil ? nil : marked.baseAddress
                    CAnnexKernels_scan(&codes, &query, 0, half, &limit, list, epoch, &pool)
                    return CAnnexKernels_scan(&codes, &query, half, self.blocks, &limit, list, epoch, &pool)
                }
            }
        }
        return withUnsafeBytes(of: &pool.scores) { scores in
            withUnsafeBytes(of: &pool.ordinals) { ordinals in
                (0..<capacity).map {
                    (
                        scores.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self),
                        ordinals.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self)
                    )
                }
            }
        }
    }

    func collect(threshold: Float, slacks: [Float], weight: Float, bound: Float = .infinity) -> [UInt32] {
        var found: [UInt32] = []
        let bounds = [Float](repeating: bound, count: self.blocks)
        var places = [UInt32](repeating: 0, count: 32)
        var scores = [Float](repeating: 0, count: 32)
        bounds.withUnsafeBufferPointer { along in
            var limit = CAnnexKernels_Bounds(along: along.baseAddress, across: along.baseAddress, a: 1, b: 1, c: 0)
            self.withCodes { codes, query in
                var block = 0
                while block < self.blocks {
                    let count = CAnnexKernels_collect(
                        &codes,
                        &query,
                        &block,
                        self.blocks,
                        &limit,
                        threshold,
                        slacks,
                        weight,
                        nil,
                        0,
                        &places,
                        &scores
                    )
                    if count == 0 { break }
                    found += places.prefix(count)
                }
            }
        }
        return found
    }

    /// Bounds that fall under everything from block `stop` on.
    func blocksRead(stop: Int) -> Int {
        var pool = CAnnexKernels_Pool()
        CAnnexKernels_empty(&pool, 16, 5)
        let along = (0..<self.blocks).map { $0 < stop ? Float(1e30) : -1e30 }
        return along.withUnsafeBufferPointer { along in
            var limit = CAnnexKernels_Bounds(along: along.baseAddress, across: along.baseAddress, a: 0.5, b: 0.25, c: 0)
            return self.withCodes { CAnnexKernels_scan(&$0, &$1, 0, self.blocks, &limit, nil, 0, &pool) }
        }
    }
}
