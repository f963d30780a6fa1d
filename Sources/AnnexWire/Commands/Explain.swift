extension CommandSpecification {
    static let explain = CommandSpecification(
        .handler(.explain),
        keys: .first,
        flags: ["readonly"],
        categories: ["@read", "@slow"],
        group: "user",
        summary:
            "Which items of the user's history made an item's score, and how much of it each: `contributions`, `rest` and "
            + "`baseline` (μ + b_i of a biased model, else 0) add up to `score`; `events` is how many items the history "
            + "has. The 10 that matter most unless `COUNT` says else. For vectors that are folded in, on ip "
            + "and cosine.",
        complexity: "One fold-in: O(events × dimension² + dimension³)",
        arguments: [.key("user"), .string("item")] + ExplainArguments.options,
        reply: (
            "flat array: score, method, events, baseline, contributions (array of item, weight, contribution), rest",
            "map: score, method, events, baseline, contributions (array of [item, weight, contribution]), rest"
        ),
        routing: .user,
        cost: .insight
    )
}

/// `EXPLAIN user item [COUNT n] [INDEX name]`.
package struct ExplainArguments: Equatable, Sendable {
    private enum Option: String, CaseIterable, Sendable {
        case count = "COUNT"
        case index = "INDEX"
    }

    static let options: [CommandArgument] = [CommandArgument.integer("n", token: "COUNT").optional, .index]
    private static let grammar = OptionGrammar<Option>(Self.options)
    package static let defaultCount = 10

    /// Position of the user's id.
    package var user: Int { 1 }
    /// Position of the item's id.
    package var item: Int { 2 }
    /// The most contributions to show.
    package private(set) var count = ExplainArguments.defaultCount
    /// Position of the index's name; nil where it was left out.
    package private(set) var index: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        var reader = OptionReader(Self.grammar, from: 3)
        while let found = try reader.next(in: request) {
            switch found.option {
            case .count:
                self.count = try request.integer(found.values.lowerBound, "COUNT", in: 1...SeenArguments.maximumCount)
            case .index: self.index = found.values.lowerBound
            }
        }
    }
}
