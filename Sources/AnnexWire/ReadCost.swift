import AnnexCore

/// About how long a shard takes for a read, as far as the request alone tells.
///
/// A router asks before it sends a read, so that what may keep a connection for long does not share one with what does not.
/// The figures are microseconds of one core for a million items of 64 components, rounded up. A shard knows its version and the
/// user, and estimates better: it decides where the work runs, this decides on which connection it travels.
package enum ReadCost {
    /// One user's search, or one item's, with the version's own effort.
    package static let search = 300
    /// A search that reads the whole catalogue.
    package static let wholeCatalogue = 20_000
    /// EXPLAIN and WHYNOT, whose cost depends on the user's history and on the catalogue.
    private static let insight = 20_000
    /// Items that a history may have where the client does not say how many it wants.
    private static let longHistory = 100_000

    /// Tenths of a microsecond: a result that is found and written; the same with its attributes, of 1 kB.
    private static let tenthsPerResult = 10
    private static let tenthsPerAttributes = 30
    /// A candidate of a walk through a graph, and a list of an inverted file.
    private static let tenthsPerCandidate = 5
    private static let tenthsPerList = 100
    /// An id that is looked up, and an item of a history that is solved for, by each user of a batch.
    private static let tenthsPerName = 3
    private static let tenthsPerSolvedItem = 40
    /// What an item that is left out adds to each user's search.
    private static let tenthsPerLeftOut = 1
    private static let tenthsPerHistoryItem = 3

    /// Microseconds. O(options); nothing is allocated. The arity must have been checked.
    ///
    /// - Parameter users: instead of those of an `MTOPK`, of which only a part is sent.
    /// - Returns: 0 for a request that a shard refuses at once.
    package static func microseconds(_ id: CommandID, _ request: Request, users: Int? = nil) -> Int {
        switch id {
        case .topk:
            // Nearly all requests.
            if request.count == 3 {
                let k = min(max(0, request.integer(2) ?? 0), Limits.maximumK)
                return Self.search + k * Self.tenthsPerResult / 10
            }
            guard let arguments = try? TopKArguments(request) else { return 0 }
            return Self.microseconds(arguments.options, k: arguments.k, users: 1)
        case .mtopk:
            guard let arguments = try? MTopKArguments(request) else { return 0 }
            return Self.microseconds(arguments.options, k: arguments.k, users: users ?? arguments.users.count)
        case .vsim:
            guard let arguments = try? VSimArguments(request) else { return 0 }
            let values = arguments.query.componentCount
            return Self.search(arguments.effort, k: arguments.count, attributes: arguments.withAttributes)
                + values * Self.tenthsPerName / 10
        case .explain, .whynot: return Self.insight
        case .seen:
            guard let arguments = try? ListArguments(request, fixed: 2, times: true) else { return 0 }
            return (arguments.count ?? Self.longHistory) * Self.tenthsPerHistoryItem / 10
        case .vrandmember:
            let count = request.count > 2 ? request.integer(2) ?? 0 : 1
            return Int(min(count.magnitude, UInt(Limits.maximumRandomCount))) * Self.tenthsPerResult / 10
        case .score, .exists: return request.count * Self.tenthsPerName / 10
        case .ping, .echo, .hello, .auth, .quit, .reset, .select, .client, .command, .config, .info, .slowlog, .latency,
            .readonly, .readwrite, .asking, .deadline, .multi, .exec, .discard, .watch, .event, .eventDelete, .forget,
            .atomic,
            .waitpos, .vemb, .vdim, .vcard, .vinfo, .vismember, .vgetattr, .vlinks, .indexes, .reload, .dbsize, .ready,
            .type,
            .scan, .memory, .cluster, .acl, .role:
            return 0
        }
    }

    private static func microseconds(_ options: QueryOptions, k: Int, users: Int) -> Int {
        let (excluded, history) = (options.exclude.count, options.history?.count ?? 0)
        let named = (excluded + history) * Self.tenthsPerName
        let each = excluded * Self.tenthsPerLeftOut + history * Self.tenthsPerSolvedItem
        return users * (Self.search(options.effort, k: k, attributes: options.withAttributes) + each / 10) + named / 10
    }

    private static func search(_ effort: SearchEffort?, k: Int, attributes: Bool) -> Int {
        let results = k * (Self.tenthsPerResult + (attributes ? Self.tenthsPerAttributes : 0)) / 10
        switch effort {
        case nil: return Self.search + results
        case .exact, .kappa: return Self.wholeCatalogue + results
        case .efSearch(let ef): return Self.search + ef * Self.tenthsPerCandidate / 10 + results
        case .nprobe(let lists): return Self.search + lists * Self.tenthsPerList / 10 + results
        }
    }
}
