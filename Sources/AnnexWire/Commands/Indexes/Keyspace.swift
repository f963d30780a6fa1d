/// Commands of Redis's key space whose arguments are names of indexes.
extension CommandSpecification {
    static let type = CommandSpecification(
        .handler(.type),
        keys: .first,
        flags: ["readonly", "fast"],
        categories: ["@keyspace", "@read", "@fast"],
        group: "keyspace",
        summary: "`vectorset` for an index that is served, `none` for any other name.",
        arguments: [.key("key")],
        reply: ("simple string", "simple string"),
        routing: .anywhere,
        cost: .negligible
    )

    static let exists = CommandSpecification(
        .handler(.exists),
        keys: .all,
        flags: ["readonly", "fast"],
        categories: ["@keyspace", "@read", "@fast"],
        tips: ["request_policy:multi_shard", "response_policy:agg_sum"],
        group: "keyspace",
        summary: "How many of the names are indexes that are served; a name given twice counts twice.",
        complexity: "O(names)",
        arguments: [CommandArgument.key("key").multiple],
        reply: ("integer", "integer"),
        routing: .anywhere,
        cost: .lookups
    )
}
