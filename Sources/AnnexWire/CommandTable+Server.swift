/// Commands that concern the server: settings, statistics, and what clients ask of a Redis.
extension CommandTable {
    package static let serverCommands: [CommandSpecification] = [
        CommandSpecification(
            .config,
            "config",
            arity: -2,
            flags: admin,
            categories: ["@admin", "@slow", "@dangerous"],
            group: "server",
            summary: "Reads and sets limits.",
            complexity: "Depends on the subcommand",
            reply: ok,
            subcommands: [
                sub(
                    .config,
                    "config|get",
                    arity: -3,
                    summary: "Settings whose names match, with their values.",
                    complexity: "O(settings × patterns)",
                    arguments: [.string("pattern").multiple],
                    admin: true,
                    reply: ("flat array", "map")
                ),
                sub(
                    .config,
                    "config|set",
                    arity: -4,
                    summary: "Changes settings that may change while serving.",
                    arguments: [.block("data", [.string("parameter"), .string("value")]).multiple],
                    admin: true
                ),
                sub(.config, "config|resetstat", arity: 2, summary: "Sets the statistics of INFO to 0.", admin: true),
                help(.config),
            ]
        ),
        CommandSpecification(
            .info,
            "info",
            arity: -1,
            flags: ["loading", "stale"],
            categories: ["@slow", "@dangerous"],
            tips: ["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
            group: "server",
            summary: "State and statistics of the server, by section.",
            complexity: "O(sections)",
            arguments: [.string("section").multiple.optional],
            reply: ("bulk string", "verbatim string")
        ),
        CommandSpecification(
            .role,
            "role",
            arity: 1,
            flags: ["loading", "stale", "fast", "noscript"],
            categories: ["@admin", "@fast", "@dangerous"],
            group: "server",
            summary:
                "Always that of a primary without replicas, for clients that send only to one: every server takes reads and "
                + "events.",
            reply: ("array of `master`, 0 and an empty array", "as RESP2")
        ),
        CommandSpecification(
            .ready,
            "ready",
            arity: 1,
            owner: .handler,
            flags: ["loading", "stale", "fast"],
            categories: ["@fast", "@connection"],
            group: "server",
            summary:
                "Whether the server should be sent requests: every index is loaded, its state is open, and what the log has "
                + "is applied, within `--max-lag` where that is given; at a router, whether each shard has a replica that "
                + "serves. `LOADING` says what is missing.",
            complexity: "O(indexes), at a router O(replicas)",
            reply: ok
        ),
        CommandSpecification(
            .slowlog,
            "slowlog",
            arity: -2,
            flags: admin,
            categories: ["@admin", "@slow", "@dangerous"],
            group: "server",
            summary: "The commands that took longest.",
            complexity: "Depends on the subcommand",
            reply: ok,
            subcommands: [
                sub(
                    .slowlog,
                    "slowlog|get",
                    arity: -2,
                    summary: "Entries, newest first.",
                    complexity: "O(entries)",
                    arguments: [.integer("count").optional],
                    admin: true,
                    reply: ("array", "array")
                ),
                sub(
                    .slowlog,
                    "slowlog|len",
                    arity: 2,
                    summary: "Number of entries.",
                    admin: true,
                    reply: ("integer", "integer")
                ),
                sub(.slowlog, "slowlog|reset", arity: 2, summary: "Forgets the entries.", admin: true),
                help(.slowlog),
            ]
        ),
        CommandSpecification(
            .latency,
            "latency",
            arity: -2,
            flags: admin,
            categories: ["@admin", "@slow", "@dangerous"],
            group: "server",
            summary: "Histograms of how long commands took.",
            complexity: "Depends on the subcommand",
            reply: ok,
            subcommands: [
                sub(
                    .latency,
                    "latency|latest",
                    arity: 2,
                    summary: "Latency spikes: none are recorded.",
                    admin: true,
                    reply: ("empty array", "empty array")
                ),
                sub(
                    .latency,
                    "latency|reset",
                    arity: -2,
                    summary: "Resets the spikes: there are none.",
                    arguments: [.string("event").multiple.optional],
                    admin: true,
                    reply: ("integer", "integer")
                ),
                sub(
                    .latency,
                    "latency|histogram",
                    arity: -2,
                    summary: "Cumulative histogram per command.",
                    complexity: "O(commands)",
                    arguments: [.string("command").multiple.optional],
                    admin: true,
                    reply: ("flat array", "map")
                ),
                help(.latency),
            ]
        ),
        CommandSpecification(
            .dbsize,
            "dbsize",
            arity: 1,
            owner: .handler,
            flags: ["readonly", "fast"],
            categories: ["@read", "@fast"],
            tips: ["request_policy:all_shards", "response_policy:agg_sum"],
            group: "server",
            summary: "Number of indexes served.",
            reply: ("integer", "integer")
        ),
        acl, cluster,
    ]

    private static let acl = CommandSpecification(
        .acl,
        "acl",
        arity: -2,
        flags: fast,
        categories: ["@slow"],
        group: "server",
        summary: "For clients that ask who they are.",
        complexity: "Depends on the subcommand",
        reply: ok,
        subcommands: [
            sub(
                .acl,
                "acl|whoami",
                arity: 2,
                summary: "Name of the one user, `default`.",
                reply: ("bulk string", "bulk string")
            ),
            help(.acl),
        ]
    )

    private static let cluster = CommandSpecification(
        .cluster,
        "cluster",
        arity: -2,
        flags: fast,
        categories: ["@slow"],
        group: "cluster",
        summary: "Who serves which users, for clients that know Redis Cluster.",
        complexity: "Depends on the subcommand",
        reply: ok,
        subcommands: [
            sub(
                .cluster,
                "cluster|info",
                arity: 2,
                summary: "State of the cluster, as lines of `name:value`.",
                reply: ("bulk string", "verbatim string")
            ),
            sub(
                .cluster,
                "cluster|keyslot",
                arity: 3,
                summary: "Slot of a key: CRC16 mod 16384, hash tags honoured.",
                complexity: "O(bytes of the key)",
                arguments: [.string("key")],
                reply: ("integer", "integer")
            ),
            sub(
                .cluster,
                "cluster|myid",
                arity: 2,
                summary: "Id of this node, 40 hexadecimal digits.",
                reply: ("bulk string", "bulk string")
            ),
            sub(
                .cluster,
                "cluster|nodes",
                arity: 2,
                summary: "A line for each node: id, address, role and slots. Needs `--cluster`.",
                complexity: "O(nodes)",
                reply: ("bulk string", "verbatim string")
            ),
            sub(
                .cluster,
                "cluster|shards",
                arity: 2,
                summary: "Of each shard its slots and its nodes with role and health. Needs `--cluster`.",
                complexity: "O(nodes)",
                reply: ("array of flat arrays", "array of maps")
            ),
            sub(
                .cluster,
                "cluster|slots",
                arity: 2,
                summary:
                    "Of each range of slots its nodes, of which the first is to be asked: the first replica of the shard that "
                    + "is well. Needs `--cluster`.",
                complexity: "O(nodes)",
                reply: ("array of arrays", "array of arrays")
            ),
            help(.cluster),
        ]
    )

    /// Commands of Redis's key space; the keys are the names of the indexes.
    package static let keyspaceCommands: [CommandSpecification] = [
        CommandSpecification(
            .type,
            "type",
            arity: 2,
            owner: .handler,
            keys: .first,
            flags: ["readonly", "fast"],
            categories: ["@keyspace", "@read", "@fast"],
            group: "keyspace",
            summary: "`vectorset` for an index that is served, `none` for any other name.",
            arguments: [.key("key")],
            reply: ("simple string", "simple string")
        ),
        CommandSpecification(
            .exists,
            "exists",
            arity: -2,
            owner: .handler,
            keys: .all,
            flags: ["readonly", "fast"],
            categories: ["@keyspace", "@read", "@fast"],
            tips: ["request_policy:multi_shard", "response_policy:agg_sum"],
            group: "keyspace",
            summary: "How many of the names are indexes that are served; a name given twice counts twice.",
            complexity: "O(names)",
            arguments: [CommandArgument.key("key").multiple],
            reply: ("integer", "integer")
        ),
        CommandSpecification(
            .scan,
            "scan",
            arity: -2,
            owner: .handler,
            flags: ["readonly"],
            categories: ["@keyspace", "@read", "@slow"],
            tips: ["nondeterministic_output", "request_policy:special", "response_policy:special"],
            group: "keyspace",
            summary: "The names of the indexes served, all in one step.",
            complexity: "O(indexes)",
            arguments: [
                .integer("cursor"), CommandArgument.string("pattern", token: "MATCH").optional,
                CommandArgument.integer("count", token: "COUNT").optional,
                CommandArgument.string("type", token: "TYPE").optional,
            ],
            reply: ("array of cursor (bulk) and an array of names", "array of cursor (bulk) and an array of names")
        ),
        CommandSpecification(
            .memory,
            "memory",
            arity: -2,
            owner: .handler,
            flags: ["readonly"],
            categories: ["@slow"],
            group: "keyspace",
            summary: "What an index takes.",
            complexity: "Depends on the subcommand",
            reply: ok,
            subcommands: [
                CommandSpecification(
                    .memory,
                    "memory|usage",
                    arity: -3,
                    owner: .handler,
                    keys: .second,
                    flags: ["readonly"],
                    categories: ["@read", "@slow"],
                    group: "keyspace",
                    summary: "Bytes that an index takes, mapped files included.",
                    arguments: [.key("key"), CommandArgument.integer("count", token: "SAMPLES").optional],
                    reply: ("integer, or null for an unknown name", "integer, or null for an unknown name")
                ),
                help(.memory),
            ]
        ),
    ]
}
