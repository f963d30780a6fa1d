extension CommandSpecification {
    static let eventDelete = CommandSpecification(
        .handler(.eventDelete),
        keys: .first,
        flags: ["write"],
        categories: ["@write", "@slow"],
        group: "user",
        summary:
            "Takes an item out of the user's history: all events with it, and what was trained of it, until an event "
            + "with it comes again. Needs `--state`.",
        complexity: "O(events of the user)",
        arguments: [.key("user"), .string("item"), .index],
        reply: ("1 or 0: whether it was in the history", "1 or 0: whether it was in the history"),
        routing: .change(.remove),
        cost: .negligible
    )
}

/// `EVENT.DEL user item [INDEX name]`.
package struct EventDeleteArguments: Equatable, Sendable {
    /// Position of the user's id.
    package var user: Int { 1 }
    /// Position of the item's id.
    package var item: Int { 2 }
    /// Position of the index's name; nil where it was left out.
    package let index: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        self.index = try IndexOption(request, from: 3).position
    }
}
