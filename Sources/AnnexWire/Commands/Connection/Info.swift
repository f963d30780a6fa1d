/// Commands that tell about the process.
extension CommandSpecification {
    static let info = CommandSpecification(
        .connection(.info),
        flags: ["loading", "stale"],
        categories: ["@slow", "@dangerous"],
        tips: ["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        group: "server",
        summary: "State and statistics of the server, by section.",
        complexity: "O(sections)",
        arguments: [.string("section").multiple.optional],
        reply: ("bulk string", "verbatim string")
    )

    static let role = CommandSpecification(
        .connection(.role),
        flags: ["loading", "stale", "fast", "noscript"],
        categories: ["@admin", "@fast", "@dangerous"],
        group: "server",
        summary:
            "Always that of a primary without replicas, for clients that send only to one: every server takes reads and "
            + "events.",
        reply: ("array of `master`, 0 and an empty array", "as RESP2")
    )
}
