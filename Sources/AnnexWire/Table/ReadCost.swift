import AnnexCore

/// About how long a shard takes for a read, as far as the request alone tells: a column of the command table.
///
/// A router asks before it sends a read, so that what may keep a connection for long does not share one with what does not.
/// The figures are microseconds of one core for a million items of 64 components, rounded up. A shard knows its version and the
/// user, and estimates better: it decides where the work runs, this decides on which connection it travels.
package struct ReadCost: Sendable {
    private let estimate: @Sendable (Request) -> Int

    /// - Parameter estimate: microseconds of a request whose arity has been checked; 0 for one that a shard refuses at once.
    init(_ estimate: @escaping @Sendable (Request) -> Int) { self.estimate = estimate }

    /// It takes so little that it is never in the way, or it is no read.
    static let negligible = ReadCost { _ in 0 }
    /// Its cost depends on the user's history and on the catalogue.
    static let insight = ReadCost { _ in 20_000 }
    /// Each word is an id that is looked up.
    static let lookups = ReadCost { request in request.count * Self.tenthsPerName / 10 }

    /// Microseconds. O(options); nothing is allocated. The arity must have been checked.
    package func microseconds(_ request: Request) -> Int { self.estimate(request) }

    // MARK: Figures

    /// One user's search, or one item's, with the version's own effort.
    package static let search = 300
    /// A search that reads the whole catalogue.
    package static let wholeCatalogue = 20_000

    /// Tenths of a microsecond: a result that is found and written; the same with its attributes, of 1 kB.
    static let tenthsPerResult = 10
    static let tenthsPerAttributes = 30
    /// A candidate of a walk through a graph, and a list of an inverted file.
    private static let tenthsPerCandidate = 5
    private static let tenthsPerList = 100
    /// An id that is looked up, and an item of a history that is solved for, by each user of a batch.
    static let tenthsPerName = 3
    static let tenthsPerSolvedItem = 40
    /// The cost that an item which is left out adds to each user's search.
    static let tenthsPerLeftOut = 1

    /// A search for `k` results.
    static func search(_ effort: SearchEffort?, k: Int, attributes: Bool) -> Int {
        let results = k * (Self.tenthsPerResult + (attributes ? Self.tenthsPerAttributes : 0)) / 10
        switch effort {
        case nil: return Self.search + results
        case .exact, .kappa: return Self.wholeCatalogue + results
        case .efSearch(let ef): return Self.search + ef * Self.tenthsPerCandidate / 10 + results
        case .nprobe(let lists): return Self.search + lists * Self.tenthsPerList / 10 + results
        }
    }
}
