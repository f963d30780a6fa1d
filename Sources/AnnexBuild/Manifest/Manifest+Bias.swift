package import AnnexCore

extension Manifest {
    /// Holds the facts of a biased model that are the same for all users and items.
    package struct Bias: Codable, Sendable, Equatable {
        package var globalMean: Double
        /// Tells whether users have biases of their own.
        package var ofUsers: Bool

        init(_ bias: ModelBias) { (self.globalMean, self.ofUsers) = (bias.globalMean, bias.hasUserBiases) }

        package var model: ModelBias { ModelBias(globalMean: self.globalMean, hasUserBiases: self.ofUsers) }
    }

    private static let rolesOfBiases: Set<String> = ["bias", "user-bias", "implicit-factors"]

    /// Says what is wrong with biases and dimensions. It is nil where nothing is.
    var problemOfBias: String? {
        let stored = self.dimension.addingReportingOverflow(self.bias == nil ? 0 : ModelBias.components)
        guard self.dimension >= 1, !stored.overflow, stored.partialValue <= Limits.maximumDimension,
            self.storedDimension == stored.partialValue
        else { return "dimension" }
        let hasSources = self.sources.contains { Self.rolesOfBiases.contains($0.role) }
        guard self.format > Self.formatWithoutBiases || (self.bias == nil && !hasSources) else {
            return "bias (not in format \(self.format))"
        }
        guard let bias = self.bias else { return nil }
        let isPossible =
            self.metric == Metric.ip.rawValue && Float(bias.globalMean).isFinite && self.foldIn?.method != "als"
        return isPossible ? nil : "bias"
    }
}
