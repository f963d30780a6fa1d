/// How a query vector is compared with an item's vector.
package enum Metric: String, Sendable, CaseIterable {
    /// Dot product; higher is better. What matrix factorisation is trained for.
    case ip
    /// Cosine of the angle; higher is better.
    case cosine
    /// Squared Euclidean distance; lower is better.
    case l2

    /// Whether a larger score stands for a better item.
    package var higherIsBetter: Bool { self != .l2 }

    /// Whether score `a` ranks strictly before score `b`.
    @inlinable
    package func isBetter(_ a: Float, than b: Float) -> Bool { self == .l2 ? a < b : a > b }
}
