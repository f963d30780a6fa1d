/// `CLIENT` and `COMMAND`, with their subcommands.
extension CommandTable {
    static let client = CommandSpecification(
        .client,
        "client",
        arity: -2,
        flags: fast + [CommandSpecification.noMulti],
        categories: ["@slow", "@connection"],
        group: "connection",
        summary: "Says and sets what is known of connections.",
        complexity: "Depends on the subcommand",
        reply: ok,
        subcommands: [
            sub(.client, "client|id", arity: 2, summary: "Number of this connection.", reply: ("integer", "integer")),
            sub(
                .client,
                "client|getname",
                arity: 2,
                summary: "Name of this connection.",
                reply: ("bulk string or null", "bulk string or null")
            ),
            sub(
                .client,
                "client|setname",
                arity: 3,
                summary: "Names this connection.",
                arguments: [.string("connection-name")]
            ),
            sub(
                .client,
                "client|setinfo",
                arity: 4,
                summary: "Says which library the client uses.",
                arguments: [
                    .oneof("attr", [.string("libname", token: "LIB-NAME"), .string("libver", token: "LIB-VER")])
                ]
            ),
            sub(
                .client,
                "client|capa",
                arity: -3,
                summary:
                    "Names what the client can do; unknown capabilities are passed over. With `position`, EVENT, EVENT.DEL and "
                    + "FORGET answer with an array of their reply and a position for WAITPOS (null without a log), until RESET.",
                arguments: [.string("capability").multiple]
            ),
            sub(
                .client,
                "client|info",
                arity: 2,
                summary: "This connection's line of CLIENT LIST.",
                reply: ("bulk string", "verbatim string")
            ),
            sub(
                .client,
                "client|list",
                arity: -2,
                summary: "A line per connection.",
                complexity: "O(connections)",
                arguments: [
                    .oneof(
                        "filter",
                        [
                            .block("type", token: "TYPE", [.word("NORMAL")]),
                            CommandArgument.integer("id", token: "ID").multiple,
                        ]
                    ).optional
                ],
                admin: true,
                reply: ("bulk string", "verbatim string")
            ),
            sub(
                .client,
                "client|kill",
                arity: -3,
                summary: "Closes connections.",
                complexity: "O(connections)",
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
                                        ]
                                    )
                                ]
                            ).multiple,
                        ]
                    )
                ],
                admin: true,
                reply: ("OK with one address, else the number closed as integer", "as RESP2")
            ),
            sub(
                .client,
                "client|tracking",
                arity: -3,
                summary: "`OFF` is accepted, `ON` is an error: client-side caching is not served.",
                arguments: [.oneof("enabled", [.word("ON"), .word("OFF")])]
            ),
            sub(
                .client,
                "client|no-evict",
                arity: 3,
                summary: "Accepted; changes nothing.",
                arguments: [.oneof("enabled", [.word("ON"), .word("OFF")])]
            ),
            sub(
                .client,
                "client|no-touch",
                arity: 3,
                summary: "Accepted; changes nothing.",
                arguments: [.oneof("enabled", [.word("ON"), .word("OFF")])]
            ),
            sub(
                .client,
                "client|reply",
                arity: 3,
                summary: "Turns replies off and on, or leaves out the next one.",
                arguments: [.oneof("action", [.word("ON"), .word("OFF"), .word("SKIP")])]
            ),
            help(.client),
        ]
    )

    private static let names = [CommandArgument.string("command-name").multiple.optional]

    static let command = CommandSpecification(
        .command,
        "command",
        arity: -1,
        flags: ["loading", "stale"],
        categories: ["@slow", "@connection"],
        tips: ["nondeterministic_output_order"],
        group: "server",
        summary: "Describes every command.",
        complexity: "O(commands)",
        reply: ("array of arrays of 10 elements", "array of arrays of 10 elements"),
        subcommands: [
            sub(
                .command,
                "command|count",
                arity: 2,
                summary: "How many commands there are.",
                reply: ("integer", "integer")
            ),
            sub(
                .command,
                "command|list",
                arity: 2,
                summary: "The names of all commands.",
                reply: ("array", "array")
            ),
            sub(
                .command,
                "command|info",
                arity: -2,
                summary: "Describes the commands named, or all.",
                arguments: names,
                reply: ("array", "array")
            ),
            sub(
                .command,
                "command|docs",
                arity: -2,
                summary: "Documents the commands named, or all.",
                arguments: names,
                reply: ("flat array", "map")
            ),
            sub(
                .command,
                "command|getkeys",
                arity: -3,
                summary: "The keys of a whole command.",
                complexity: "O(arguments)",
                arguments: [.string("command"), .string("arg").multiple.optional],
                reply: ("array", "array")
            ),
            sub(
                .command,
                "command|getkeysandflags",
                arity: -3,
                summary: "The keys of a whole command, with flags.",
                complexity: "O(arguments)",
                arguments: [.string("command"), .string("arg").multiple.optional],
                reply: ("array of pairs", "array of pairs")
            ),
            help(.command),
        ]
    )
}
