package import AnnexCore

/// Says how a user's vector follows from the history, for the items of one version: it has what a solve needs beside
/// the rows. It is immutable. Any number of threads may use it, each with a `FoldInSolver` of its own.
package struct FoldInModel: Sendable, Equatable {
    /// Says which equation is solved. A history is a set of items, each with a weight w (events on one item have added
    /// up) and a row y.
    package enum Method: Sendable, Equatable {
        /// This is the user's half of a step of implicit-feedback ALS (Hu, Koren and Volinsky 2008), exactly: x = (YᵀY
        /// + λI + Σ (|c| − 1) y yᵀ)⁻¹ Σ c y with the confidence c = alpha × w, the second sum over c > 0 only: an item
        /// with a negative weight is one that the user is known not to want. So does `implicit`'s `recalculate_user`.
        case als(regularization: Double, alpha: Double)
        /// This is x = argmin Σ (w − x · y)² + λ‖x‖² = (λI + Σ y yᵀ)⁻¹ Σ w y over the history alone, for trainers that
        /// have no such step: the vector whose scores come closest to the weights, and the shortest one where several
        /// do.
        ///
        /// - Ratings (SVD): w is what is left of the rating once the trainer's mean and biases are taken off; it is the
        ///   user's half of a step of explicit ALS.
        /// - BPR, word2vec, item embeddings of neural collaborative filtering: w is 1 for what the user took, less or
        ///   negative for what counts less or against. The ranking is that of likeness to the history; items that are like
        ///   each other share what they say instead of adding it up. Scores are on the scale of w, not the trainer's.
        ///
        /// In a biased model w − μ − b_i stands for w, and the user's bias b_u is solved together with x:
        /// argmin Σ (w − μ − b_i − b_u − x · y)² + λ(‖x‖² + b_u²), so that the score of a new user is a prediction of w
        /// too. Where users have no biases b_u is 0.
        ///
        /// λ weighs against the squared lengths of the rows: as large as those, a first event gives a score of w / 2.
        case ridge(regularization: Double)
    }

    package let method: Method
    /// Holds the number of components of rows and of solved vectors.
    package let dimension: Int
    /// Holds the bias of a biased model, whose rows end in it as `ModelBias` says; then `dimension` counts it.
    package let bias: ModelBias?
    /// Holds YᵀY, `dimension` × `dimension`, for ALS. It is empty for ridge.
    package let gram: [Double]

    /// Copies the matrix. O(dimension²).
    ///
    /// - Parameter gram: of all items of the version (`Gram.matrix`), symmetric; nothing for ridge.
    /// - Throws: `.badInput` where a parameter is not above 0 and finite, or the matrix is none of this dimension, not
    ///   finite, not symmetric or with a negative diagonal; for ALS with biases, which it does not have.
    package init(
        method: Method,
        dimension: Int,
        gram: [Double] = [],
        bias: ModelBias? = nil
    ) throws(AnnexError) {
        if let problem = Self.problem(method, dimension, gram) { throw AnnexError(.badInput, problem) }
        if let bias { try Self.check(bias, method, dimension) }
        self.method = method
        self.dimension = dimension
        self.bias = bias
        self.gram = gram
    }

    /// Returns the first value that is impossible; nil where there is none. O(dimension²).
    static func problem(_ method: Method, _ dimension: Int, _ gram: [Double]) -> String? {
        guard (1...Limits.maximumDimension).contains(dimension) else {
            return "\(dimension) dimensions are not possible"
        }
        guard Self.isPossible(method.regularization) else { return "the regularization is not above 0" }
        guard case .als(_, let alpha) = method else { return gram.isEmpty ? nil : "ridge has no YᵀY" }
        guard Self.isPossible(alpha) else { return "alpha is not above 0" }
        guard gram.count == dimension * dimension else { return "YᵀY is not of \(dimension) dimensions" }
        for row in 0..<dimension {
            guard gram[row * dimension + row] >= 0 else { return "YᵀY has a negative square" }
            for column in 0...row {
                let value = gram[row * dimension + column]
                guard value.isFinite else { return "YᵀY is not finite" }
                guard value == gram[column * dimension + row] else { return "YᵀY is not symmetric" }
            }
        }
        return nil
    }

    private static func isPossible(_ parameter: Double) -> Bool { parameter > 0 && parameter.isFinite }
}

extension FoldInModel.Method {
    /// Returns λ.
    package var regularization: Double {
        switch self {
        case .als(let regularization, _), .ridge(let regularization): regularization
        }
    }

    /// Names the method as recipes and manifests do: `als` or `ridge`.
    package var name: String {
        switch self {
        case .als: "als"
        case .ridge: "ridge"
        }
    }

    /// Returns the confidence that a weight of 1 has in the equation: alpha, or 1 without ALS.
    package var confidence: Double {
        switch self {
        case .als(_, let alpha): abs(alpha)
        case .ridge: 1
        }
    }
}
