import AnnexCore

/// Reads the keys of models whose score is more than a product of factors: biases, a mean, implicit factors.
extension Recipe {
    static let biasKeys: Set<String> = ["bias", "user-bias", "global-mean", "implicit-factors"]

    /// Takes what `recipe.yaml` says.
    mutating func readBias(_ values: [String: String]) throws(AnnexError) {
        self.bias = values["bias"]
        self.userBias = values["user-bias"]
        self.globalMean = try Self.number("global-mean", values)
        self.implicitFactors = values["implicit-factors"]
    }

    /// Refuses contradictions between these keys and others.
    func validateBias() throws(AnnexError) {
        if self.bias == nil, self.userBias != nil || self.globalMean != nil {
            throw AnnexError(
                .usage,
                "\(self.userBias == nil ? "global-mean" : "user-bias") without bias",
                hint: "Give the items' biases too: they change the order of answers, the others only scores"
            )
        }
        guard self.bias == nil || self.metric == .ip else {
            throw AnnexError(
                .usage,
                "bias on metric \(self.metric.rawValue)",
                hint: "Biases are added to dot products: take metric ip"
            )
        }
        guard self.userBias == nil || self.users != nil else {
            throw AnnexError(.usage, "user-bias without users", hint: "Give the users' factors too")
        }
        if let mean = self.globalMean, !(abs(mean) <= Limits.vectorLengths.upperBound) {
            throw AnnexError(
                .usage,
                "global-mean \(mean) is above \(Printable.scientific(Limits.vectorLengths.upperBound)) in size",
                hint: "It is the mean of the ratings that the model was trained on"
            )
        }
        guard self.bias == nil || self.foldIn != .als else {
            throw AnnexError(
                .usage,
                "fold-in als with bias",
                hint: "Implicit-feedback ALS has no biases: take ridge, which solves for what they leave of the weights"
            )
        }
        guard self.implicitFactors == nil || (self.users != nil && self.history != nil) else {
            throw AnnexError(
                .usage,
                "implicit-factors without \(self.users == nil ? "users" : "a history")",
                hint: "SVD++ adds the implicit factors of a user's history to the user's factors: give both"
            )
        }
    }

    /// Returns the bias that the version gets. It is nil for a model without biases.
    ///
    /// A model with a mean is one of ratings, whose users have levels; one without (BPR) has items' biases alone, and a
    /// level that is solved for would take from the factors what they are to explain.
    var modelBias: ModelBias? {
        guard self.bias != nil else { return nil }
        return ModelBias(
            globalMean: self.globalMean ?? 0,
            hasUserBiases: self.userBias != nil || self.globalMean != nil
        )
    }

    var renderedBias: [String: String] { self.globalMean.map { ["global-mean": "\($0)"] } ?? [:] }
}
