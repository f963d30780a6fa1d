extension CommandSpecification {
    static let reload = CommandSpecification(
        .handler(.reload),
        keys: .first,
        flags: ["admin", "noscript"],
        categories: ["@admin", "@slow", "@dangerous"],
        tips: ["request_policy:all_shards", "response_policy:all_succeeded"],
        group: "server",
        summary: "Verifies, loads and serves what `current` names, or the version named.",
        complexity: "O(bytes of the version)",
        arguments: [.key("index"), CommandArgument.string("version").optional],
        reply: ("simple string: the version now served", "simple string: the version now served"),
        routing: .atRouter(.refuseReload),
        cost: .negligible
    )
}

/// `RELOAD index [version]`.
package struct ReloadArguments: Equatable, Sendable {
    /// Position of the index's name.
    package var index: Int { 1 }
    /// Position of the version's name; nil: what `current` names.
    package let version: Int?

    /// The arity must have been checked.
    package init(_ request: Request) { self.version = request.count > 2 ? 2 : nil }
}
