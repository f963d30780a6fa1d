/// Commands that concern the connection or the process; the network layer answers them.
extension CommandTable {
    static let fast = ["fast", "loading", "stale"]
    static let admin = ["admin", "loading", "noscript", "stale"]
    static let ok = ("simple string `OK`", "simple string `OK`")

    static func sub(
        _ id: CommandID, _ name: String, arity: Int, summary: String, complexity: String = "O(1)",
        arguments: [CommandArgument] = [], admin: Bool = false, reply: (String, String) = ok
    ) -> CommandSpecification {
        CommandSpecification(
            id, name, arity: arity, flags: admin ? Self.admin : Self.fast,
            categories: admin ? ["@admin", "@slow", "@dangerous"] : ["@fast", "@connection"],
            group: name.hasPrefix("client") ? "connection" : "server", summary: summary, complexity: complexity,
            arguments: arguments, reply: reply)
    }

    /// The row of a container's `HELP`, which the table answers itself.
    static func help(_ id: CommandID) -> CommandSpecification {
        sub(id, id.rawValue + "|help", arity: 2, summary: "Lists the subcommands.", reply: ("array", "array"))
    }

    package static let connectionCommands: [CommandSpecification] = [
        CommandSpecification(
            .ping, "ping", arity: -1, flags: fast, categories: ["@fast", "@connection"],
            tips: ["request_policy:all_shards", "response_policy:all_succeeded"], group: "connection",
            summary: "Answers PONG, or the message.", arguments: [.string("message").optional],
            reply: ("simple string `PONG`, or the message as bulk string", "as RESP2")),
        CommandSpecification(
            .echo, "echo", arity: 2, flags: fast, categories: ["@fast", "@connection"], group: "connection",
            summary: "Answers the message.", arguments: [.string("message")], reply: ("bulk string", "bulk string")),
        CommandSpecification(
            .hello, "hello", arity: -1, flags: fast, categories: ["@fast", "@connection"], group: "connection",
            summary: "Chooses the protocol version; may authenticate and name the connection as well.",
            arguments: [
                .block(
                    "arguments",
                    [
                        .integer("protover"),
                        .block("auth", token: "AUTH", [.string("username"), .string("password")]).optional,
                        .string("clientname", token: "SETNAME").optional,
                    ]
                ).optional
            ], reply: ("flat array of server, version, proto, id, mode, role, modules", "map"),
            beforeAuthentication: true),
        CommandSpecification(
            .auth, "auth", arity: -2, flags: fast, categories: ["@fast", "@connection"], group: "connection",
            summary: "Authenticates the connection.", arguments: [.string("username").optional, .string("password")],
            reply: ok, beforeAuthentication: true),
        CommandSpecification(
            .quit, "quit", arity: -1, flags: fast, categories: ["@fast", "@connection"], group: "connection",
            summary: "Closes the connection once everything before is answered.", reply: ok,
            beforeAuthentication: true),
        CommandSpecification(
            .reset, "reset", arity: 1, flags: fast, categories: ["@fast", "@connection"], group: "connection",
            summary: "Puts the connection back as it was when made.",
            reply: ("simple string `RESET`", "simple string `RESET`"), beforeAuthentication: true),
        CommandSpecification(
            .select, "select", arity: 2, flags: fast, categories: ["@fast", "@connection"], group: "connection",
            summary: "For clients that always send it: the one database is 0.", arguments: [.integer("index")],
            reply: ok),
        CommandSpecification(
            .readonly, "readonly", arity: 1, flags: fast, categories: ["@fast", "@connection"], group: "cluster",
            summary: "For cluster clients; changes nothing on a server that stands alone.", reply: ok),
        CommandSpecification(
            .readwrite, "readwrite", arity: 1, flags: fast, categories: ["@fast", "@connection"], group: "cluster",
            summary: "For cluster clients; changes nothing on a server that stands alone.", reply: ok),
        CommandSpecification(
            .asking, "asking", arity: 1, flags: fast, categories: ["@fast", "@connection"], group: "cluster",
            summary: "For cluster clients; changes nothing on a server that stands alone.", reply: ok),
        client, command,
    ]

    private static let client = CommandSpecification(
        .client, "client", arity: -2, flags: fast, categories: ["@slow", "@connection"], group: "connection",
        summary: "Says and sets what is known of connections.", complexity: "Depends on the subcommand", reply: ok,
        subcommands: [
            sub(.client, "client|id", arity: 2, summary: "Number of this connection.", reply: ("integer", "integer")),
            sub(.client, "client|getname", arity: 2, summary: "Name of this connection.",
                reply: ("bulk string or null", "bulk string or null")),
            sub(.client, "client|setname", arity: 3, summary: "Names this connection.",
                arguments: [.string("connection-name")]),
            sub(.client, "client|setinfo", arity: 4, summary: "Says which library the client uses.",
                arguments: [
                    .oneof("attr", [.string("libname", token: "LIB-NAME"), .string("libver", token: "LIB-VER")])
                ]),
            sub(.client, "client|info", arity: 2, summary: "This connection's line of CLIENT LIST.",
                reply: ("bulk string", "verbatim string")),
            sub(.client, "client|list", arity: -2, summary: "A line per connection.", complexity: "O(connections)",
                arguments: [
                    .oneof(
                        "filter",
                        [.block("type", token: "TYPE", [.word("NORMAL")]), CommandArgument.integer("id", token: "ID").multiple]
                    ).optional
                ], admin: true, reply: ("bulk string", "verbatim string")),
            sub(.client, "client|kill", arity: -3, summary: "Closes connections.", complexity: "O(connections)",
                arguments: [
                    .oneof(
                        "filter",
                        [
                            .string("ip:port"),
                            .block(
                                "new-format",
                                [
                                    .oneof(
                                        "filter",
                                        [
                                            .integer("id", token: "ID"), .string("ip:port", token: "ADDR"),
                                            .string("ip:port", token: "LADDR"),
                                            .oneof("skipme", token: "SKIPME", [.word("YES"), .word("NO")]),
                                        ])
                                ]
                            ).multiple,
                        ])
                ], admin: true, reply: ("OK with one address, else the number closed as integer", "as RESP2")),
            sub(.client, "client|no-evict", arity: 3, summary: "Accepted; changes nothing.",
                arguments: [.oneof("enabled", [.word("ON"), .word("OFF")])]),
            sub(.client, "client|no-touch", arity: 3, summary: "Accepted; changes nothing.",
                arguments: [.oneof("enabled", [.word("ON"), .word("OFF")])]),
            sub(.client, "client|reply", arity: 3, summary: "Turns replies off and on, or leaves out the next one.",
                arguments: [.oneof("action", [.word("ON"), .word("OFF"), .word("SKIP")])]),
            help(.client),
        ])

    private static let names = [CommandArgument.string("command-name").multiple.optional]

    private static let command = CommandSpecification(
        .command, "command", arity: -1, flags: ["loading", "stale"], categories: ["@slow", "@connection"],
        tips: ["nondeterministic_output_order"], group: "server", summary: "Describes every command.",
        complexity: "O(commands)", reply: ("array of arrays of 10 elements", "array of arrays of 10 elements"),
        subcommands: [
            sub(.command, "command|count", arity: 2, summary: "How many commands there are.",
                reply: ("integer", "integer")),
            sub(.command, "command|list", arity: 2, summary: "The names of all commands.",
                reply: ("array", "array")),
            sub(.command, "command|info", arity: -2, summary: "Describes the commands named, or all.",
                arguments: names, reply: ("array", "array")),
            sub(.command, "command|docs", arity: -2, summary: "Documents the commands named, or all.",
                arguments: names, reply: ("flat array", "map")),
            sub(.command, "command|getkeys", arity: -3, summary: "The keys of a whole command.",
                complexity: "O(arguments)", arguments: [.string("command"), .string("arg").multiple.optional],
                reply: ("array", "array")),
            sub(.command, "command|getkeysandflags", arity: -3, summary: "The keys of a whole command, with flags.",
                complexity: "O(arguments)", arguments: [.string("command"), .string("arg").multiple.optional],
                reply: ("array of pairs", "array of pairs")),
            help(.command),
        ])
}
