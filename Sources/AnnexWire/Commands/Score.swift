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

/// `SCORE user n item … [INDEX name]`.
package struct ScoreArguments: Equatable, Sendable {
    /// Position of the user's id.
    package var user: Int { 1 }
    /// Positions of the items' ids, at least one.
    package let items: Range<Int>
    /// Position of the index's name; nil where it was left out.
    package let index: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        self.items = try request.counted(2, "items", minimum: 1)
        self.index = try IndexOption(request, from: self.items.upperBound).position
    }
}
