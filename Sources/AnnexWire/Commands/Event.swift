extension CommandSpecification {
    static let event = CommandSpecification(
        .handler(.event),
        keys: .first,
        flags: ["write", "denyoom", "fast"],
        categories: ["@write", "@fast"],
        group: "user",
        summary:
            "The user took an item. `OK` once that is durable. The same user, item and time again replaces the weight, "
            + "other times add up. Without `AT` the server uses its own clock, so repeated events count separately: a client that "
            + "may send an event again gives `AT`. Needs `--state`.",
        complexity: "O(log events), and a flush of the disk that all who wait share",
        arguments: [.key("user"), .string("item"), CommandArgument.double("weight").optional] + EventArguments.options,
        reply: ("simple string: OK", "simple string: OK"),
        routing: .change(.event),
        cost: .negligible,
        pipelineClass: .changes
    )
}

/// `EVENT user item [weight] [AT unix-ms] [INDEX name]`.
package struct EventArguments: Equatable, Sendable {
    private enum Option: String, CaseIterable, Sendable {
        case at = "AT"
        case index = "INDEX"
    }

    static let options: [CommandArgument] = [CommandArgument.integer("unix-ms", token: "AT").optional, .index]
    private static let grammar = OptionGrammar<Option>(Self.options)

    /// Position of the user's id.
    package var user: Int { 1 }
    /// Position of the item's id.
    package var item: Int { 2 }
    /// 1 where it was left out.
    package private(set) var weight = 1.0
    /// Milliseconds since 1970; nil: the receiver stamps it.
    package private(set) var time: Int64?
    /// Position of the index's name; nil where it was left out.
    package private(set) var index: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        var start = 3
        // A word that is no option is a weight.
        if start < request.count, Self.grammar.option(request, start) == nil {
            self.weight = try request.weight(start)
            start += 1
        }
        var reader = OptionReader(Self.grammar, from: start)
        while let found = try reader.next(in: request) {
            switch found.option {
            case .at: self.time = try request.time(found.values.lowerBound, "AT")
            case .index: self.index = found.values.lowerBound
            }
        }
    }
}
