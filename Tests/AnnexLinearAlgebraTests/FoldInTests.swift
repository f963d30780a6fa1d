import AnnexCore
import AnnexLinearAlgebra
import AnnexTestSupport
import Foundation
import Testing

/// Items' rows and histories drawn at random, and what a history's vector is by Gaussian elimination in float64.
struct FoldInCase {
    static let seed: UInt64 = 20_261_126

    let dimension: Int
    let rows: [Float]
    let model: FoldInModel
    private(set) var random: SeededRandom

    init(items: Int, dimension: Int, method: FoldInModel.Method, seed: UInt64 = Self.seed) throws {
        self.random = SeededRandom(seed: seed ^ UInt64(dimension))
        self.dimension = dimension
        var rows: [Float] = []
        for _ in 0..<items * dimension { rows.append(self.random.normal()) }
        self.rows = rows
        var gram: [Double] = []
        if case .als = method { gram = Self.gram(rows, dimension) }
        self.model = try FoldInModel(method: method, dimension: dimension, gram: gram)
    }

    init(rows: [Float], dimension: Int, method: FoldInModel.Method) throws {
        self.random = SeededRandom(seed: Self.seed)
        (self.dimension, self.rows) = (dimension, rows)
        self.model = try FoldInModel(method: method, dimension: dimension)
    }

    static func gram(_ rows: [Float], _ dimension: Int) -> [Double] {
        Gram.matrix(
            rows: rows.span,
            count: rows.count / dimension,
            stride: dimension,
            dimension: dimension,
            threads: 1
        )
    }

    /// Different items, weights of either sign.
    mutating func history(_ count: Int, negative: Bool = true) -> [(item: Int, weight: Double)] {
        let items = Array(0..<self.rows.count / self.dimension).shuffled(using: &self.random).prefix(count)
        return items.sorted().map { item in
            let weight = Double(Float.random(in: 0.2...6, using: &self.random))
            return (item, negative && self.random.below(5) == 0 ? -weight : weight)
        }
    }

    func row(_ item: Int) -> [Double] {
        self.rows[item * self.dimension..<(item + 1) * self.dimension].map(Double.init)
    }

    func solve(_ history: [(item: Int, weight: Double)], with solver: FoldInSolver) -> [Float]? {
        var target = [Float](repeating: .nan, count: self.dimension)
        let solved = solver.solve(
            count: history.count,
            rows: self.rows.span,
            stride: self.dimension,
            into: &target
        ) { (Int32(history[$0].item), history[$0].weight) }
        return solved ? target : nil
    }

    func contributions(_ item: Int, _ history: [(item: Int, weight: Double)], with solver: FoldInSolver) -> [Double]? {
        var out = [Double](repeating: .nan, count: history.count)
        let solved = solver.contributions(
            to: Int32(item),
            count: history.count,
            rows: self.rows.span,
            stride: self.dimension,
            into: &out
        ) { (Int32(history[$0].item), history[$0].weight) }
        return solved ? out : nil
    }

    /// The definition, written down: every item adds to the matrix, those of the history more.
    func expected(_ history: [(item: Int, weight: Double)]) -> [Double] {
        let d = self.dimension
        var matrix = [[Double]](repeating: [Double](repeating: 0, count: d), count: d)
        var side = [Double](repeating: 0, count: d)
        func add(_ y: [Double], _ factor: Double) {
            for a in 0..<d { for b in 0..<d { matrix[a][b] += factor * y[a] * y[b] } }
        }
        if case .als = self.model.method { for item in 0..<self.rows.count / d { add(self.row(item), 1) } }
        for place in 0..<d { matrix[place][place] += self.model.method.regularization }
        for (item, weight) in history {
            let y = self.row(item)
            switch self.model.method {
            case .als(_, let alpha):
                var confidence = alpha * weight
                if confidence > 0 {
                    for place in 0..<d { side[place] += confidence * y[place] }
                } else {
                    confidence = -confidence
                }
                add(y, confidence - 1)
            case .ridge:
                add(y, 1)
                for place in 0..<d { side[place] += weight * y[place] }
            }
        }
        return Self.eliminate(matrix, side)
    }

    private static func eliminate(_ matrix: [[Double]], _ side: [Double]) -> [Double] {
        var (a, b) = (matrix, side)
        let d = b.count
        for step in 0..<d {
            let pivot = (step..<d).max { abs(a[$0][step]) < abs(a[$1][step]) } ?? step
            a.swapAt(step, pivot)
            b.swapAt(step, pivot)
            for row in step + 1..<max(d, step + 1) {
                let factor = a[row][step] / a[step][step]
                for column in step..<d { a[row][column] -= factor * a[step][column] }
                b[row] -= factor * b[step]
            }
        }
        for step in (0..<d).reversed() {
            for column in step + 1..<max(d, step + 1) { b[step] -= a[step][column] * b[column] }
            b[step] /= a[step][step]
        }
        return b
    }

    static func distance(_ a: [Float], _ b: [Double]) -> Double {
        let difference = zip(a, b).reduce(0.0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
        return (difference / max(b.reduce(0) { $0 + $1 * $1 }, 1e-300)).squareRoot()
    }
}

@Suite struct FoldInTests {
    static let methods: [FoldInModel.Method] = [
        .als(regularization: 1, alpha: 10), .als(regularization: 0.01, alpha: 1), .als(regularization: 3, alpha: 0.4),
        .ridge(regularization: 0.5),
    ]

    @Test(arguments: Self.methods, [1, 2, 3, 7, 16, 31, 40])
    func equalsElimination(_ method: FoldInModel.Method, _ dimension: Int) throws {
        var data = try FoldInCase(items: 400, dimension: dimension, method: method)
        let solver = FoldInSolver(data.model)
        // Around and above what a block holds.
        for count in [1, 2, 9, 60, 127, 128, 129, 300] {
            let history = data.history(count)
            let solved = try #require(data.solve(history, with: solver))
            #expect(
                FoldInCase.distance(solved, data.expected(history)) < 1e-6,
                "\(count) events, seed \(FoldInCase.seed)"
            )
        }
    }

    @Test(arguments: Self.methods) func orderDoesNotMatter(_ method: FoldInModel.Method) throws {
        var data = try FoldInCase(items: 500, dimension: 24, method: method)
        let solver = FoldInSolver(data.model)
        let history = data.history(200)
        let solved = try #require(data.solve(history, with: solver))
        #expect(
            data.solve(history, with: solver) == solved,
            "the same order: the same bits, whatever was solved before"
        )
        var random = SeededRandom(seed: FoldInCase.seed)
        for _ in 0..<10 {
            let other = try #require(data.solve(history.shuffled(using: &random), with: solver))
            #expect(FoldInCase.distance(other, solved.map(Double.init)) < 1e-6, "seed \(FoldInCase.seed)")
        }
        let another = data.history(40)
        _ = data.solve(another, with: solver)
        #expect(data.solve(history, with: FoldInSolver(data.model)) == solved)
    }

    @Test(arguments: Self.methods) func contributionsAddUpToTheScore(_ method: FoldInModel.Method) throws {
        var data = try FoldInCase(items: 300, dimension: 20, method: method)
        let solver = FoldInSolver(data.model)
        for count in [1, 5, 150] {
            let history = data.history(count)
            let vector = data.expected(history)
            for item in [0, 17, 299] {
                let parts = try #require(data.contributions(item, history, with: solver))
                let score = zip(data.row(item), vector).reduce(0) { $0 + $1.0 * $1.1 }
                let size = parts.reduce(0) { $0 + abs($1) }
                #expect(abs(parts.reduce(0, +) - score) <= 1e-9 * max(size, 1e-9), "seed \(FoldInCase.seed)")
            }
            guard case .als = method else { continue }
            let parts = try #require(data.contributions(3, history, with: solver))
            for (part, event) in zip(parts, history) where event.weight < 0 { #expect(part == 0) }
        }
    }

    @Test(arguments: Self.methods) func noEventsAndWeightsOfZero(_ method: FoldInModel.Method) throws {
        let data = try FoldInCase(items: 50, dimension: 6, method: method)
        let solver = FoldInSolver(data.model)
        #expect(data.solve([], with: solver) == [Float](repeating: 0, count: 6))
        #expect(data.contributions(0, [], with: solver) == [])
        let nothing = try #require(data.solve([(4, 0)], with: solver))
        #expect(nothing.allSatisfy { $0 == 0 })
    }

    /// Twice the same item is twice (|c| − 1) in the matrix, as in `implicit` for a matrix with duplicates.
    @Test(arguments: Self.methods) func theSameItemTwice(_ method: FoldInModel.Method) throws {
        let data = try FoldInCase(items: 50, dimension: 6, method: method)
        let history = [(item: 4, weight: 2.0), (item: 4, weight: 3.0), (item: 9, weight: 1.0)]
        let solved = try #require(data.solve(history, with: FoldInSolver(data.model)))
        #expect(FoldInCase.distance(solved, data.expected(history)) < 1e-6)
    }

    @Test func whatHasNoSolution() throws {
        let data = try FoldInCase(items: 30, dimension: 5, method: .als(regularization: 0.001, alpha: 1))
        let solver = FoldInSolver(data.model)
        for weight in [Double.nan, .infinity, -.infinity, 1e300, 1e308] {
            #expect(data.solve([(3, weight)], with: solver) == nil || weight == 1e300, "\(weight)")
        }
        // The same item taken off more often than it is there.
        #expect(data.solve((0..<200).map { _ in (3, 0.0) }, with: solver) == nil)
        #expect(data.contributions(1, (0..<200).map { _ in (3, 0.0) }, with: solver) == nil)
        #expect(data.solve([(3, 1)], with: solver) != nil, "and the solver is as good as before")
    }

    @Test func estimatesGrow() {
        let few = FoldInSolver.nanos(events: 1, dimension: 128)
        #expect(few > 0 && FoldInSolver.nanos(events: 1_000, dimension: 128) > few)
        #expect(FoldInSolver.nanos(events: 1, dimension: 512) > few)
        #expect(FoldInSolver.nanos(events: Int.max, dimension: Limits.maximumDimension) > 0, "nothing overflows")
    }
}

@Suite struct GramTests {
    @Test(arguments: [1, 3, 19, 33], [1, 2]) func equalsPlainSums(_ dimension: Int, _ threads: Int) {
        var random = SeededRandom(seed: FoldInCase.seed)
        let (count, stride) = (1_100, dimension + 5)
        let rows = (0..<count * stride).map { $0 % stride < dimension ? random.normal() : .nan }
        var shares: [Double] = []
        let gram = Gram.matrix(
            rows: rows.span,
            count: count,
            stride: stride,
            dimension: dimension,
            threads: threads
        ) { shares.append($0) }
        for a in 0..<dimension {
            for b in 0..<dimension {
                let sum = (0..<count).reduce(0.0) {
                    $0 + Double(rows[$1 * stride + a]) * Double(rows[$1 * stride + b])
                }
                #expect(abs(gram[a * dimension + b] - sum) < 1e-9, "seed \(FoldInCase.seed)")
                #expect(gram[a * dimension + b] == gram[b * dimension + a])
            }
        }
        #expect(shares.last == 1 && shares == shares.sorted())
        BLASThreads.set(1)
    }
}

@Suite struct FoldInModelTests {
    static let gram: [Double] = [2, 0.5, 0.5, 3]

    @Test func whatIsRefused() {
        let als = FoldInModel.Method.als(regularization: 1, alpha: 1)
        func refused(_ method: FoldInModel.Method, _ dimension: Int, _ gram: [Double]) -> Bool {
            (try? FoldInModel(method: method, dimension: dimension, gram: gram)) == nil
        }
        #expect(!refused(als, 2, Self.gram) && !refused(.ridge(regularization: 1), 2, []))
        for bad in [0, -1, Double.nan, .infinity] {
            #expect(refused(.als(regularization: bad, alpha: 1), 2, Self.gram))
            #expect(refused(.als(regularization: 1, alpha: bad), 2, Self.gram))
            #expect(refused(.ridge(regularization: bad), 2, []))
        }
        for gram in [[], [1], [1, 2, 3, 4], [1, .nan, .nan, 1], [-1, 0, 0, 1], Self.gram + Self.gram] {
            #expect(refused(als, 2, gram), "\(gram)")
        }
        #expect(refused(.ridge(regularization: 1), 2, Self.gram) && refused(als, 0, []) && refused(als, 5_000, []))
    }

    @Test func itsFile() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("foldin.bin")
        func write(_ bytes: [UInt8]) throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }
        let als = try FoldInModel(method: .als(regularization: 0.1, alpha: 40), dimension: 2, gram: Self.gram)
        let ridge = try FoldInModel(method: .ridge(regularization: 7), dimension: 2)
        for model in [als, ridge] {
            try write(model.encoded)
            #expect(try FoldInModel.load(path: path, dimension: 2) == model)
            let error = #expect(throws: AnnexError.self) { try FoldInModel.load(path: path, dimension: 3) }
            #expect(error?.code == .damaged && error?.location == path)
        }
        #expect(throws: AnnexError.self) { try FoldInModel.load(path: folder.file("none"), dimension: 2) }
        // Every byte of the header decides over something; a byte more or less is another length.
        for place in 0..<24 {
            var bytes = als.encoded
            bytes[place] ^= 0x55
            try write(bytes)
            #expect(throws: AnnexError.self, "byte \(place)") { try FoldInModel.load(path: path, dimension: 2) }
        }
        for (first, value) in [(24, Double.nan), (24, -1), (32, 0), (40, -1), (40, .infinity), (48, 0.25)] {
            var bytes = als.encoded
            bytes.replaceSubrange(
                first..<first + 8,
                with: withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
            )
            try write(bytes)
            #expect(throws: AnnexError.self, "\(value) at \(first)") {
                try FoldInModel.load(path: path, dimension: 2)
            }
        }
        try write(als.encoded + [0])
        #expect(throws: AnnexError.self) { try FoldInModel.load(path: path, dimension: 2) }
        try write(Array(als.encoded.dropLast()))
        #expect(throws: AnnexError.self) { try FoldInModel.load(path: path, dimension: 2) }
    }
}
