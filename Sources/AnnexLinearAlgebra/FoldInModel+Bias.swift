import AnnexCore

extension FoldInModel {
    static func check(_ bias: ModelBias, _ method: Method, _ dimension: Int) throws(AnnexError) {
        guard case .ridge = method else { throw AnnexError(.badInput, "als has no biases") }
        guard dimension > ModelBias.components else {
            throw AnnexError(.badInput, "\(dimension) dimensions are not possible with a bias")
        }
        guard bias.globalMean.isFinite else { throw AnnexError(.badInput, "the mean is not finite") }
    }

    /// Returns the part of an item's score that is the same for all histories: μ + b_i of a biased model, else 0. The
    /// score is this and what `FoldInSolver.contributions` says.
    ///
    /// - Parameter row: the item's, `dimension` floats.
    package func baseline(of row: Span<Float>) -> Double {
        guard let bias = self.bias else { return 0 }
        return bias.globalMean + Double(row[self.dimension - 1])
    }

    /// Counts components of rows that are factors, and says what stands in the equation in the place of a row's bias: 1
    /// where the user has a bias to be solved, else 0, which keeps it out.
    var equation: (factors: Int, biasComponent: Double) {
        guard let bias = self.bias else { return (self.dimension, 0) }
        return (self.dimension - ModelBias.components, bias.hasUserBiases ? 1 : 0)
    }
}
