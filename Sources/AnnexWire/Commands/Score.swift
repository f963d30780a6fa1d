extension CommandSpecification {
    static let score = CommandSpecification(
        .handler(.score),
        keys: .first,
        flags: ["readonly", "fast"],
        categories: ["@read", "@fast"],
        group: "user",
        summary: "The exact scores of items for a user.",
        complexity: "O(n × dimension)",
        arguments: [.key("user"), .integer("n"), CommandArgument.string("item").multiple, .index],
        reply: (
            "array of n scores (bulk); null for an unknown item",
            "array of n scores (double); null for an unknown item"
        ),
        routing: .user,
        cost: .lookups
    )
}

/// Reads `SCORE user n item … [INDEX name]`.
package struct ScoreArguments: Equatable, Sendable {
    /// The user's id stands at this position.
    package var user: Int { 1 }
    /// The items' ids, at least one, stand at these positions.
    package let items: Range<Int>
    /// The index's name stands at this position. It is nil where it was left out.
    package let index: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        self.items = try request.counted(2, "items", minimum: 1)
        self.index = try IndexOption(request, from: self.items.upperBound).position
    }
}
