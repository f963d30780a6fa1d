/// One answer: an item's row number in this version, and its score in the version's metric.
///
/// An ordinal never leaves the process and is never stored where it would outlive the version.
package struct Hit: Equatable, Sendable {
    package var ordinal: Int32
    package var score: Float

    @inlinable
    package init(ordinal: Int32, score: Float) {
        self.ordinal = ordinal
        self.score = score
    }
}

/// Says how hard one query searches. It is passed with each call and never kept on the shared index.
package enum SearchEffort: Equatable, Sendable {
    /// HNSW keeps so many candidates during the walk.
    case efSearch(Int)
    /// IVF reads so many inverted lists.
    case nprobe(Int)
    /// Clusters by direction count so much of the part across the centroid in a bound, 0 to 1; at 1 nothing is missed.
    case kappa(Float)
    /// Every item is scored, exactly and in float32.
    case exact
}

extension SearchEffort {
    /// - Parameters:
    ///   - knob: nil for a kind that has none.
    ///   - value: in the knob's range; not looked at without one.
    package init(_ knob: IndexKind.Knob?, _ value: Double) {
        switch knob {
        case .efSearch: self = .efSearch(Int(value))
        case .nprobe: self = .nprobe(Int(value))
        case .kappa: self = .kappa(Float(value))
        case nil: self = .exact
        }
    }
}
