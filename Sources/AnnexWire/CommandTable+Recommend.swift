/// Commands about users, items and indexes; the shard answers them.
extension CommandTable {
    private static let read = ["readonly"]
    private static let fastRead = ["readonly", "fast"]
    private static let slowCategories = ["@read", "@slow"]
    private static let vectorCategories = ["@read", "@fast", "@vectorset"]

    private static let index = CommandArgument.string("name", token: "INDEX").optional
    private static let effort = CommandArgument.oneof(
        "effort",
        [
            .integer("ef", token: "EF"), .integer("nprobe", token: "NPROBE"), .double("kappa", token: "KAPPA"),
            .word("TRUTH"),
        ]
    ).optional
    static let whynotOptions: [CommandArgument] = [
        index,
        .block(
            "history",
            token: "HISTORY",
            [
                .integer("n"), CommandArgument.string("item").multiple,
                CommandArgument.double("w", token: "WEIGHTS").multiple.optional,
            ]
        ).optional,
        .flag("WITHSEEN"),
        .block("exclude", token: "EXCLUDE", [.integer("n"), .string("item").multiple]).optional,
        effort,
    ]
    private static let topOptions = whynotOptions + [.flag("WITHSCORES"), .flag("WITHATTRIBS")]
    private static let listReply = (
        "array of ids, best first; with options flat: id, score (bulk), attributes (bulk or null)",
        "array of ids, best first; with options an array of [id, score (double), attributes]"
    )

    package static let userCommands: [CommandSpecification] = [
        CommandSpecification(
            .topk,
            "topk",
            arity: -3,
            owner: .handler,
            keys: .first,
            flags: read,
            categories: slowCategories,
            group: "user",
            summary:
                "The best k items for a user as of now, without what the user has seen and what `EXCLUDE` names. `HISTORY` is "
                + "folded in together with what is known of the user, stores nothing and serves unknown ids as well.",
            complexity: "One search: O(efSearch × log efSearch) on a graph, O(items read) else",
            arguments: [.key("user"), .integer("k")] + topOptions,
            reply: listReply
        ),
        CommandSpecification(
            .mtopk,
            "mtopk",
            arity: -4,
            owner: .handler,
            keys: .counted,
            flags: read,
            categories: slowCategories,
            tips: ["request_policy:multi_shard"],
            group: "user",
            summary: "The best k items for each of n users.",
            complexity: "n searches",
            arguments: [.integer("n"), CommandArgument.key("user").multiple, .integer("k")] + topOptions,
            reply: (
                "array of n replies of TOPK; null for an unknown user",
                "array of n replies of TOPK; null for an unknown user"
            )
        ),
        CommandSpecification(
            .score,
            "score",
            arity: -4,
            owner: .handler,
            keys: .first,
            flags: fastRead,
            categories: ["@read", "@fast"],
            group: "user",
            summary: "The exact scores of items for a user.",
            complexity: "O(n × dimension)",
            arguments: [.key("user"), .integer("n"), CommandArgument.string("item").multiple, index],
            reply: (
                "array of n scores (bulk); null for an unknown item",
                "array of n scores (double); null for an unknown item"
            )
        ),
    ]

    private static func vector(
        _ id: CommandID,
        arity: Int,
        flags: [String] = ["readonly", "fast"],
        summary: String,
        complexity: String = "O(1)",
        arguments: [CommandArgument] = [],
        tips: [String] = [],
        reply: (String, String)
    ) -> CommandSpecification {
        CommandSpecification(
            id,
            id.rawValue,
            arity: arity,
            owner: .handler,
            keys: .first,
            flags: flags,
            categories: vectorCategories,
            tips: tips,
            group: "vector_set",
            summary: summary,
            complexity: complexity,
            arguments: [.key("key")] + arguments,
            reply: reply
        )
    }

    package static let indexCommands: [CommandSpecification] = [
        vector(
            .vsim,
            arity: -4,
            flags: read,
            summary:
                "The items nearest to an item or a vector, 10 unless `COUNT` says else. Scores are (1 + cos) / 2 on a cosine "
                + "index, the metric's own on the others; `EPSILON` is for cosine indexes.",
            complexity: "One search",
            arguments: [
                .oneof(
                    "query",
                    [
                        .string("element", token: "ELE"), .string("blob", token: "FP32"),
                        .block("values", token: "VALUES", [.integer("n"), .double("value").multiple]),
                    ]
                ), .flag("WITHSCORES"), .flag("WITHATTRIBS"), .integer("n", token: "COUNT").optional,
                .double("delta", token: "EPSILON").optional, .integer("ef", token: "EF").optional,
                .double("kappa", token: "KAPPA").optional, .flag("TRUTH"),
            ],
            reply: (
                "flat array: element, score (bulk), attributes (bulk or null)",
                "array; map of element to score, attributes or [score, attributes] with options"
            )
        ),
        vector(
            .vemb,
            arity: -3,
            summary: "The vector of an item.",
            complexity: "O(dimension)",
            arguments: [.string("element"), .flag("RAW")],
            reply: (
                "array of bulk strings; RAW: [type, blob, norm]; null for an unknown item",
                "array of doubles; RAW: [type, blob, norm]; null for an unknown item"
            )
        ),
        vector(.vdim, arity: 2, summary: "The dimension of the vectors.", reply: ("integer", "integer")),
        vector(.vcard, arity: 2, summary: "The number of items.", reply: ("integer", "integer")),
        vector(
            .vinfo,
            arity: 2,
            summary: "What the index is, which version is served, what recall was measured.",
            reply: ("flat array", "map")
        ),
        vector(
            .vismember,
            arity: 3,
            summary: "Whether an item is in the index.",
            complexity: "O(log items)",
            arguments: [.string("element")],
            reply: ("1 or 0", "boolean")
        ),
        vector(
            .vrandmember,
            arity: -2,
            flags: read,
            summary: "Random items; a negative count allows repeats, 0 gives none.",
            complexity: "O(count)",
            arguments: [CommandArgument.integer("count").optional],
            tips: ["nondeterministic_output"],
            reply: ("bulk string, or an array with a count", "bulk string, or an array with a count")
        ),
        vector(
            .vgetattr,
            arity: 3,
            summary: "The attributes of an item, as JSON.",
            complexity: "O(log items)",
            arguments: [.string("element")],
            reply: ("bulk string or null", "bulk string or null")
        ),
        vector(
            .vlinks,
            arity: -3,
            summary: "The neighbours of an item in the graph, top level first.",
            complexity: "O(links)",
            arguments: [.string("element"), .flag("WITHSCORES")],
            reply: (
                "array per level; flat pairs with scores; null without a graph",
                "array per level; map with scores; null"
            )
        ),
        CommandSpecification(
            .indexes,
            "indexes",
            arity: 1,
            owner: .handler,
            flags: fastRead,
            categories: ["@read", "@fast"],
            group: "server",
            summary: "The indexes served: name, version, kind, metric, items, users, dimension.",
            complexity: "O(indexes)",
            reply: ("array of flat arrays", "array of maps")
        ),
        CommandSpecification(
            .reload,
            "reload",
            arity: -2,
            owner: .handler,
            keys: .first,
            flags: ["admin", "noscript"],
            categories: ["@admin", "@slow", "@dangerous"],
            tips: ["request_policy:all_shards", "response_policy:all_succeeded"],
            group: "server",
            summary: "Verifies, loads and serves what `current` names, or the version named.",
            complexity: "O(bytes of the version)",
            arguments: [.key("index"), CommandArgument.string("version").optional],
            reply: ("simple string: the version now served", "simple string: the version now served")
        ),
    ]
}
