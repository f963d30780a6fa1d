import AnnexCore
import AnnexLinearAlgebra
import AnnexTestSupport
import Foundation
import Testing

/// Ridge in a biased model: rows of 1 … factors and a bias, solved beside Gaussian elimination over rows that were changed
/// by hand.
@Suite struct BiasedFoldInTests {
    private static let lambda = 0.7
    private static let models = [
        ModelBias(globalMean: 3.5, hasUserBiases: true), ModelBias(globalMean: 0, hasUserBiases: false),
        ModelBias(globalMean: -2, hasUserBiases: false),
    ]

    private struct Case {
        let data: FoldInCase
        let solver: FoldInSolver
        let bias: ModelBias

        init(_ bias: ModelBias, dimension: Int) throws {
            self.data = try FoldInCase(items: 200, dimension: dimension, method: .ridge(regularization: lambda))
            self.bias = bias
            let model = try FoldInModel(
                method: .ridge(regularization: lambda),
                dimension: dimension,
                bias: bias
            )
            self.solver = FoldInSolver(model)
        }

        /// x and μ + b_u, by the definition: the rows' biases come off the weights, 1 or nothing stands in their place.
        func expected(_ history: [(item: Int, weight: Double)]) throws -> [Double] {
            var rows: [Float] = []
            var left: [(item: Int, weight: Double)] = []
            for (place, event) in history.enumerated() {
                let row = self.data.row(event.item)
                rows += row.dropLast().map { Float($0) } + (self.bias.hasUserBiases ? [1] : [])
                left.append((place, event.weight - self.bias.globalMean - row[row.count - 1]))
            }
            let dimension = self.data.dimension - (self.bias.hasUserBiases ? 0 : 1)
            guard dimension > 0 else { return [self.bias.globalMean] }
            let plain = try FoldInCase(rows: rows, dimension: dimension, method: .ridge(regularization: lambda))
            let solved = plain.expected(left)
            return self.bias.hasUserBiases
                ? solved.dropLast() + [self.bias.globalMean + solved[dimension - 1]] : solved + [self.bias.globalMean]
        }
    }

    @Test(arguments: Self.models, [2, 3, 9, 33]) func equalsElimination(_ bias: ModelBias, _ dimension: Int) throws {
        let test = try Case(bias, dimension: dimension)
        var data = test.data
        for count in [1, 2, 20, 127, 128, 129] {
            let history = data.history(count)
            let solved = try #require(data.solve(history, with: test.solver))
            #expect(
                FoldInCase.distance(solved, try test.expected(history)) < 1e-6,
                "\(count) events, seed \(FoldInCase.seed)"
            )
        }
    }

    @Test(arguments: Self.models) func baselineAndContributionsAddUpToTheScore(_ bias: ModelBias) throws {
        let test = try Case(bias, dimension: 12)
        var data = test.data
        for count in [1, 5, 150] {
            let history = data.history(count)
            let vector = try test.expected(history)
            for item in [0, 17, 199] {
                let row = data.row(item)
                let parts = try #require(data.contributions(item, history, with: test.solver))
                let baseline = test.solver.model.baseline(of: Array(data.rows[item * 12..<item * 12 + 12]).span)
                // μ + b_u + b_i + x · y.
                let score = zip(row, vector).dropLast().reduce(vector[11] + row[11]) { $0 + $1.0 * $1.1 }
                #expect(abs(baseline + parts.reduce(0, +) - score) < 1e-9 * max(1, parts.reduce(0) { $0 + abs($1) }))
            }
        }
    }

    @Test func edges() throws {
        let test = try Case(Self.models[0], dimension: 6)
        let data = test.data
        #expect(data.solve([], with: test.solver) == [0, 0, 0, 0, 0, 3.5])
        #expect(data.contributions(0, [], with: test.solver) == [])
        // A weight of 0 is a low rating.
        let low = try #require(data.solve([(4, 0)], with: test.solver))
        #expect(FoldInCase.distance(low, try test.expected([(4, 0)])) < 1e-6 && low.contains { $0 != 0 })
        for weight in [Double.nan, .infinity] { #expect(data.solve([(3, weight)], with: test.solver) == nil) }
    }

    @Test func whatIsRefused() throws {
        let bias = Self.models[0]
        func refused(_ method: FoldInModel.Method, _ dimension: Int, _ gram: [Double], _ bias: ModelBias) -> Bool {
            (try? FoldInModel(method: method, dimension: dimension, gram: gram, bias: bias)) == nil
        }
        #expect(!refused(.ridge(regularization: 1), 2, [], bias) && refused(.ridge(regularization: 1), 1, [], bias))
        #expect(refused(.als(regularization: 1, alpha: 1), 2, FoldInModelTests.gram, bias))
        #expect(refused(.ridge(regularization: 1), 2, [], ModelBias(globalMean: .nan, hasUserBiases: true)))
        // The file is the same; the version says that there are biases.
        let folder = try TemporaryFolder()
        let path = folder.file("foldin.bin")
        let model = try FoldInModel(method: .ridge(regularization: 7), dimension: 3, bias: bias)
        try Data(model.encoded).write(to: URL(fileURLWithPath: path))
        #expect(try FoldInModel.load(path: path, dimension: 3, bias: bias) == model)
        #expect(try FoldInModel.load(path: path, dimension: 3) != model)
    }
}
