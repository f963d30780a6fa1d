/// The hard limits of the system. Configurable ones (frame sizes, connections) are in the network's configuration.
package enum Limits {
    /// Results of one query.
    package static let maximumK = 10_000
    /// Results of one batch: users × k.
    package static let maximumBatchResults = 100_000
    /// Components of a vector.
    package static let maximumDimension = 4_096
    /// Candidates a graph walk keeps.
    package static let maximumEfSearch = 65_536
    /// Lists an inverted-file search reads.
    package static let maximumNprobe = 65_536
    /// Size of an event's weight.
    package static let maximumWeight = 1e30
    /// Items of temporary histories in one batch: users × items.
    package static let maximumBatchHistory = 100_000
    /// Random members of one reply.
    package static let maximumRandomCount = 10_000
    /// Items of one index: an ordinal is an `Int32`.
    package static let maximumItems = Int(Int32.max)
}
