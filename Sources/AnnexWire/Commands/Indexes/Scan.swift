extension CommandSpecification {
    static let scan = CommandSpecification(
        .handler(.scan),
        flags: ["readonly"],
        categories: ["@keyspace", "@read", "@slow"],
        tips: ["nondeterministic_output", "request_policy:special", "response_policy:special"],
        group: "keyspace",
        summary: "The names of the indexes served, all in one step.",
        complexity: "O(indexes)",
        arguments: [.integer("cursor")] + ScanArguments.options,
        reply: ("array of cursor (bulk) and an array of names", "array of cursor (bulk) and an array of names"),
        routing: .anywhere,
        cost: .negligible
    )
}

/// Reads `SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]`. The last one of an option counts, as in Redis.
package struct ScanArguments: Equatable, Sendable {
    private enum Option: String, CaseIterable, Sendable {
        case match = "MATCH"
        case count = "COUNT"
        case type = "TYPE"
    }

    static let options: [CommandArgument] = [
        CommandArgument.string("pattern", token: "MATCH").optional,
        CommandArgument.integer("count", token: "COUNT").optional,
        CommandArgument.string("type", token: "TYPE").optional,
    ]
    private static let grammar = OptionGrammar<Option>(Self.options, .lastCounts)

    /// 0 begins; every scan ends in one step, so any other cursor has nothing left to give.
    package let cursor: Int
    /// The pattern stands at this position.
    package private(set) var pattern: Int?
    /// The type stands at this position.
    package private(set) var type: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        guard let cursor = request.integer(1), cursor >= 0 else { throw ArgumentFailure("invalid cursor") }
        self.cursor = cursor
        var reader = OptionReader(Self.grammar, from: 2)
        while let found = try reader.next(in: request) {
            let value = found.values.lowerBound
            switch found.option {
            case .match: self.pattern = value
            case .type: self.type = value
            case .count:
                guard let count = request.integer(value) else {
                    throw ArgumentFailure("value is not an integer or out of range")
                }
                guard count >= 1 else { throw .syntax(request, near: value) }
            }
        }
    }
}
