/// The hard limits of the system. Configurable ones (frame sizes, connections) are in the network's configuration.
package enum Limits {
    /// One query gives at most so many results.
    package static let maximumK = 10_000
    /// One batch gives at most so many results: users × k.
    package static let maximumBatchResults = 100_000
    /// A vector has at most so many components.
    package static let maximumDimension = 4_096
    /// Candidates a graph walk keeps.
    package static let maximumEfSearch = 65_536
    /// Lists an inverted-file search reads.
    package static let maximumNprobe = 65_536
    /// Euclidean lengths of rows, users and queries lie within this range, or are 0.
    ///
    /// Searches compute in float32, whose squares overflow from lengths of 1.8e19 on and vanish below 1e-19. Between
    /// these bounds squared lengths and products of two vectors are 1e-30 to 1e30: sums of them, and bounds that are
    /// some 1e5 times larger or smaller, stay normal numbers of float32 (1.2e-38 to 3.4e38).
    package static let vectorLengths = 1e-15...1e15
    /// Alpha × weight has at most this size, where alpha is 1 without ALS. The same holds for what weights on one item
    /// add up to.
    ///
    /// A solve adds c y yᵀ to a matrix whose smallest eigenvalue is λ or more, and float64 keeps some 1e-16 of the sum: the
    /// relative error of the vector grows as 1e-16 × c × |y|² / λ. At 1e6 it is below 1e-6 for |y|² / λ up to 6,400, measured
    /// against 80-bit arithmetic for 4 to 64 dimensions, λ from 0.01 and rows of length 0.02 to 8.
    package static let maximumConfidence = 1e6
    /// The weight of an event has at most this size.
    package static let maximumWeight = 1e30
    /// The temporary histories of one batch have at most so many items together: users × items.
    package static let maximumBatchHistory = 100_000
    /// At most so many commands stand between MULTI and EXEC.
    package static let maximumTransactionCommands = 10_000
    /// Changes stored together. Each takes the loop 1 to 4 µs to check, and the writer some 5 to 10 µs, while all others wait.
    package static let maximumTransactionChanges = 500
    /// Changes in one entry of a log, all of one slot. So an entry takes a replica that reads it 100 KB at most.
    package static let maximumEntryChanges = 100
    /// Random members of one reply.
    package static let maximumRandomCount = 10_000
    /// One index has at most so many items, because an ordinal is an `Int32`.
    package static let maximumItems = Int(Int32.max)
    /// The ids of all items of one index together: where each begins is kept as a `UInt32`.
    package static let maximumIdentifierBytes = Int(UInt32.max)
}
