package import AnnexCore

/// Reads the options of `TOPK`, `MTOPK` and `WHYNOT`, which stand in any order after the fixed arguments, each at most
/// once. `EF`, `NPROBE`, `KAPPA` and `TRUTH` exclude one another.
///
/// Everything is a position in the request or a number: nothing is copied or allocated.
package struct QueryOptions: Equatable, Sendable {
    private enum Option: String, CaseIterable, Sendable {
        case index = "INDEX"
        case history = "HISTORY"
        case withSeen = "WITHSEEN"
        case exclude = "EXCLUDE"
        case ef = "EF"
        case nprobe = "NPROBE"
        case kappa = "KAPPA"
        case truth = "TRUTH"
        case withScores = "WITHSCORES"
        case withAttributes = "WITHATTRIBS"
    }

    /// Lists the options that say what is searched.
    static let searching: [CommandArgument] = [
        .index,
        .block(
            "history",
            token: "HISTORY",
            [
                .integer("n"), CommandArgument.string("item").multiple,
                CommandArgument.double("w", token: "WEIGHTS").multiple.optional,
            ]
        ).optional,
        .flag("WITHSEEN"),
        .block("exclude", token: "EXCLUDE", [.integer("n"), .string("item").multiple]).optional,
        .oneof(
            "effort",
            [
                .integer("ef", token: "EF"), .integer("nprobe", token: "NPROBE"), .double("kappa", token: "KAPPA"),
                .word("TRUTH"),
            ]
        ).optional,
    ]
    /// Lists the same, and those that say what is told of each result.
    static let all = Self.searching + [.flag("WITHSCORES"), .flag("WITHATTRIBS")]
    private static let grammar = OptionGrammar<Option>(Self.all)

    /// The index's name stands at this position. It is nil where it was left out.
    package private(set) var index: Int?
    /// Positions of the items to leave out.
    package private(set) var exclude = 0..<0
    /// With nil the version's own operating point applies.
    package private(set) var effort: SearchEffort?
    package private(set) var withScores = false
    package private(set) var withAttributes = false
    /// Tells whether seen items may be answers.
    package private(set) var withSeen = false
    /// The items of `HISTORY` stand at these positions. It is nil where it was not given.
    package private(set) var history: Range<Int>?
    /// Their weights, as many, stand at these positions. With nil all are 1.
    package private(set) var weights: Range<Int>?

    /// Takes O(options + weights); items are not looked at.
    init(_ request: Request, from start: Int) throws(ArgumentFailure) {
        guard start < request.count else { return }
        var reader = OptionReader(Self.grammar, from: start)
        while let found = try reader.next(in: request) {
            let value = found.values.lowerBound
            switch found.option {
            case .index: self.index = value
            case .history:
                self.history = found.values
                guard let weights = found.more else { continue }
                for position in weights { _ = try request.weight(position) }
                self.weights = weights
            case .withSeen: self.withSeen = true
            case .exclude: self.exclude = found.values
            case .ef: self.effort = .efSearch(try request.integer(value, "EF", in: 1...Limits.maximumEfSearch))
            case .nprobe: self.effort = .nprobe(try request.integer(value, "NPROBE", in: 1...Limits.maximumNprobe))
            case .kappa: self.effort = .kappa(try request.kappa(value))
            case .truth: self.effort = .exact
            case .withScores: self.withScores = true
            case .withAttributes: self.withAttributes = true
            }
        }
    }

    /// Estimates the microseconds that a shard takes for a query with these options, for each of `users`.
    func microseconds(k: Int, users: Int) -> Int {
        let (excluded, history) = (self.exclude.count, self.history?.count ?? 0)
        let named = (excluded + history) * ReadCost.tenthsPerName
        let each = excluded * ReadCost.tenthsPerLeftOut + history * ReadCost.tenthsPerSolvedItem
        let search = ReadCost.search(self.effort, k: k, attributes: self.withAttributes)
        return users * (search + each / 10) + named / 10
    }
}
