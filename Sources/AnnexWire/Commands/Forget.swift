extension CommandSpecification {
    static let forget = CommandSpecification(
        .handler(.forget),
        keys: .first,
        flags: ["write"],
        categories: ["@write", "@slow"],
        group: "user",
        summary:
            "Deletes all events of a user and masks what versions hold of the user, now and later: from the reply on no "
            + "answer draws on it. Events that come later make a new history. Needs `--state`.",
        complexity: "O(events of the user)",
        arguments: [.key("user"), .index],
        reply: ("1 or 0: whether anything was known", "1 or 0: whether anything was known"),
        routing: .change(.forget),
        cost: .negligible
    )
}

/// `FORGET user [INDEX name]`.
package struct ForgetArguments: Equatable, Sendable {
    /// Position of the user's id.
    package var user: Int { 1 }
    /// Position of the index's name; nil where it was left out.
    package let index: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        self.index = try IndexOption(request, from: 2).position
    }
}
