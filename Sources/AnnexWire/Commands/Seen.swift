extension CommandSpecification {
    static let seen = CommandSpecification(
        .handler(.seen),
        keys: .first,
        flags: ["readonly"],
        categories: ["@read", "@slow"],
        group: "user",
        summary:
            "The items of the user's history, each once: events newest first, then what was trained, which has no times.",
        complexity:
            "O(n + repeated events on the same items) with COUNT, O(events + trained items of the user) without",
        arguments: [.key("user")] + SeenArguments.options,
        reply: (
            "array of items; with times flat: item, unix-ms or null",
            "array of items; with times an array of [item, unix-ms or null]"
        ),
        routing: .user,
        cost: ReadCost { request in
            guard let arguments = try? SeenArguments(request) else { return 0 }
            return (arguments.count ?? SeenArguments.longHistory) * SeenArguments.tenthsPerHistoryItem / 10
        }
    )
}

/// `SEEN user [COUNT n] [WITHTIMES] [INDEX name]`.
package struct SeenArguments: Equatable, Sendable {
    private enum Option: String, CaseIterable, Sendable {
        case count = "COUNT"
        case withTimes = "WITHTIMES"
        case index = "INDEX"
    }

    static let options: [CommandArgument] = [
        CommandArgument.integer("n", token: "COUNT").optional, .flag("WITHTIMES"), .index,
    ]
    private static let grammar = OptionGrammar<Option>(Self.options)
    package static let maximumCount = 1_000_000
    /// Items that a history may have where the client does not say how many it wants.
    fileprivate static let longHistory = 100_000
    /// Tenths of a microsecond that one of them takes.
    fileprivate static let tenthsPerHistoryItem = 3

    /// Position of the user's id.
    package var user: Int { 1 }
    /// The most items to show.
    package private(set) var count: Int?
    package private(set) var withTimes = false
    /// Position of the index's name; nil where it was left out.
    package private(set) var index: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        var reader = OptionReader(Self.grammar, from: 2)
        while let found = try reader.next(in: request) {
            switch found.option {
            case .count:
                self.count = try request.integer(found.values.lowerBound, "COUNT", in: 1...Self.maximumCount)
            case .withTimes: self.withTimes = true
            case .index: self.index = found.values.lowerBound
            }
        }
    }
}
