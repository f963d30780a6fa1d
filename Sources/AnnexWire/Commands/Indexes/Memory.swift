extension CommandSpecification {
    static let memory = CommandSpecification(
        .container,
        name: "memory",
        flags: ["readonly"],
        categories: ["@slow"],
        group: "keyspace",
        summary: "What an index takes.",
        complexity: "Depends on the subcommand",
        reply: okReply,
        subcommands: [
            CommandSpecification(
                .handler(.memoryUsage),
                keys: .second,
                flags: ["readonly"],
                categories: ["@read", "@slow"],
                group: "keyspace",
                summary: "Bytes that an index takes, mapped files included.",
                arguments: [.key("key")] + MemoryUsageArguments.options,
                reply: ("integer, or null for an unknown name", "integer, or null for an unknown name"),
                routing: .anywhere,
                cost: .negligible
            ),
            help(of: "memory"),
        ],
        routing: .anywhere,
        cost: .negligible
    )
}

/// `MEMORY USAGE key [SAMPLES n]`; the samples change nothing.
package struct MemoryUsageArguments: Equatable, Sendable {
    private enum Option: String, CaseIterable, Sendable { case samples = "SAMPLES" }

    static let options: [CommandArgument] = [CommandArgument.integer("count", token: "SAMPLES").optional]
    private static let grammar = OptionGrammar<Option>(Self.options)

    /// Position of the index's name.
    package var key: Int { 2 }

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        guard request.count <= 5 else { throw .syntax(request, near: 3) }
        var reader = OptionReader(Self.grammar, from: 3)
        while let found = try reader.next(in: request) {
            switch found.option {
            case .samples:
                guard let samples = request.integer(found.values.lowerBound), samples >= 0 else {
                    throw ArgumentFailure("value is not an integer or out of range")
                }
            }
        }
    }
}
