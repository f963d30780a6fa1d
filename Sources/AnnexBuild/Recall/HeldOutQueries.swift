import AnnexCore
import AnnexIndex

/// Holds queries that took no part in the build: a sample of users, or items that were moved a little.
struct HeldOutQueries: Sendable {
    static let maximumCount = 10_000
    /// Returns how many to draw, so that exact answers for all of them take no longer than the rest of a build: fewer
    /// where each means reading every row, as it does where lengths say little. 2,000 tell a recall of 0.99 to within
    /// 0.001.
    static func count(items: Int, dimension: Int, metric: Metric) -> Int {
        guard metric != .ip else { return Self.maximumCount }
        return min(Self.maximumCount, max(2_000, Self.readableComponents / (items * dimension)))
    }

    private static let readableComponents = 1 << 37

    static let kinds = ["users", "items with noise"]

    /// Holds `count` × dimension floats.
    let vectors: [Float]
    let dimension: Int
    /// The kind is `users`, or `items with noise`.
    let kind: String

    var count: Int { self.vectors.count / self.dimension }

    /// Returns a sample of the rows of a file, as it is, or as a user's row is asked for in a biased model.
    ///
    /// - Parameter leavingOut: rows that stand for nobody.
    static func users(
        _ file: VectorFile,
        count: Int,
        seed: UInt64,
        isBiased: Bool,
        leavingOut: Set<Int> = []
    ) -> HeldOutQueries {
        Self.sample(
            file,
            count,
            seed: seed,
            noise: 0,
            kind: Self.kinds[0],
            biasComponent: isBiased ? ModelBias.userComponent : nil,
            leavingOut: leavingOut
        )
    }

    /// Takes all of these rows, which are in memory, as queries.
    static func users(_ rows: [Float], dimension: Int, isBiased: Bool) -> HeldOutQueries {
        var rows = rows
        if isBiased {
            for last in stride(from: dimension - 1, to: rows.count, by: dimension) {
                rows[last] = ModelBias.userComponent
            }
        }
        return HeldOutQueries(vectors: rows, dimension: dimension, kind: Self.kinds[0])
    }

    /// Returns a sample of the items, each moved by a tenth of its length in a random direction, so that it does not
    /// find just itself.
    static func items(_ file: VectorFile, count: Int, seed: UInt64, isBiased: Bool) -> HeldOutQueries {
        let biasComponent = isBiased ? ModelBias.plainComponent : nil
        return Self.sample(file, count, seed: seed, noise: 0.1, kind: Self.kinds[1], biasComponent: biasComponent)
    }

    private static func sample(
        _ file: VectorFile,
        _ count: Int,
        seed: UInt64,
        noise: Float,
        kind: String,
        biasComponent: Float?,
        leavingOut: Set<Int> = []
    ) -> HeldOutQueries {
        let components = file.dimension - (biasComponent == nil ? 0 : ModelBias.components)
        var random = SeededRandom(seed: seed ^ 0x5eed_0f_9e47)
        var left = file.rows - leavingOut.count
        var wanted = min(count, left)
        var queries: [Float] = []
        for row in 0..<file.rows where wanted > 0 && !leavingOut.contains(row) {
            left -= 1
            guard random.below(left + 1) < wanted else { continue }
            wanted -= 1
            file.withRow(row) { values in
                let factors = values.extracting(0..<components)
                let length = biasComponent == nil ? file.norm(row) : Self.length(factors)
                let scale = noise * length / Float(max(1, components)).squareRoot()
                for index in factors.indices {
                    queries.append(factors[index] + (noise > 0 ? scale * random.normal() : 0))
                }
            }
            if let biasComponent { queries.append(biasComponent) }
        }
        return HeldOutQueries(vectors: queries, dimension: file.dimension, kind: kind)
    }

    private static func length(_ values: Span<Float>) -> Float {
        var sum = 0.0
        for index in values.indices { sum += Double(values[index]) * Double(values[index]) }
        return Float(sum.squareRoot())
    }

    /// Gives at most `limit` of them, drawn by the seed, in their order.
    func sample(_ limit: Int, seed: UInt64) -> HeldOutQueries {
        guard self.count > limit else { return self }
        var random = SeededRandom(seed: seed)
        var wanted = limit
        var chosen: [Float] = []
        for row in 0..<self.count where wanted > 0 && random.below(self.count - row) < wanted {
            wanted -= 1
            chosen += self.vectors[row * self.dimension..<(row + 1) * self.dimension]
        }
        return HeldOutQueries(vectors: chosen, dimension: self.dimension, kind: self.kind)
    }

    /// Returns the first `limit` of them.
    func prefix(_ limit: Int) -> HeldOutQueries {
        let vectors = Array(self.vectors.prefix(limit * self.dimension))
        return HeldOutQueries(vectors: vectors, dimension: self.dimension, kind: self.kind)
    }

    /// Lends one query and its Euclidean norm.
    func withQuery<R>(
        _ number: Int,
        _ body: (Span<Float>, Float) throws(AnnexError) -> R
    ) throws(AnnexError) -> R {
        let query = self.vectors.span.extracting(number * self.dimension..<(number + 1) * self.dimension)
        return try body(query, Self.length(query))
    }
}
