/// Commands without arguments that tell about all indexes.
extension CommandSpecification {
    static let indexes = CommandSpecification(
        .handler(.indexes),
        flags: ["readonly", "fast"],
        categories: ["@read", "@fast"],
        group: "server",
        summary: "The indexes served: name, version, kind, metric, items, users, dimension.",
        complexity: "O(indexes)",
        reply: ("array of flat arrays", "array of maps"),
        routing: .anywhere,
        cost: .negligible
    )

    static let dbsize = CommandSpecification(
        .handler(.dbsize),
        flags: ["readonly", "fast"],
        categories: ["@read", "@fast"],
        tips: ["request_policy:all_shards", "response_policy:agg_sum"],
        group: "server",
        summary: "Number of indexes served.",
        reply: ("integer", "integer"),
        routing: .anywhere,
        cost: .negligible
    )

    static let ready = CommandSpecification(
        .handler(.ready),
        flags: ["loading", "stale", "fast"],
        categories: ["@fast", "@connection"],
        group: "server",
        summary:
            "Whether the server should be sent requests: every index is loaded, its state is open, and what the log has "
            + "is applied, within `--max-lag` where that is given; at a router, whether each shard has a replica that "
            + "serves. `LOADING` says what is missing.",
        complexity: "O(indexes), at a router O(replicas)",
        reply: okReply,
        routing: .atRouter(.readiness),
        cost: .negligible
    )
}
