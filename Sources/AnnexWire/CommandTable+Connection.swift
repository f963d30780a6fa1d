/// Commands that concern the connection or the process; the network layer answers them.
extension CommandTable {
    static let fast = ["fast", "loading", "stale"]
    static let admin = ["admin", "loading", "noscript", "stale"]
    static let ok = ("simple string `OK`", "simple string `OK`")

    static func sub(
        _ id: CommandID,
        _ name: String,
        arity: Int,
        summary: String,
        complexity: String = "O(1)",
        arguments: [CommandArgument] = [],
        admin: Bool = false,
        reply: (String, String) = ok
    ) -> CommandSpecification {
        CommandSpecification(
            id,
            name,
            arity: arity,
            flags: admin ? Self.admin : Self.fast,
            categories: admin ? ["@admin", "@slow", "@dangerous"] : ["@fast", "@connection"],
            group: name.hasPrefix("client") ? "connection" : "server",
            summary: summary,
            complexity: complexity,
            arguments: arguments,
            reply: reply
        )
    }

    /// The row of a container's `HELP`, which the table answers itself.
    static func help(_ id: CommandID) -> CommandSpecification {
        sub(id, id.rawValue + "|help", arity: 2, summary: "Lists the subcommands.", reply: ("array", "array"))
    }

    package static let connectionCommands: [CommandSpecification] = [
        CommandSpecification(
            .ping,
            "ping",
            arity: -1,
            flags: fast,
            categories: ["@fast", "@connection"],
            tips: ["request_policy:all_shards", "response_policy:all_succeeded"],
            group: "connection",
            summary: "Answers PONG, or the message.",
            arguments: [.string("message").optional],
            reply: ("simple string `PONG`, or the message as bulk string", "as RESP2")
        ),
        CommandSpecification(
            .echo,
            "echo",
            arity: 2,
            flags: fast,
            categories: ["@fast", "@connection"],
            group: "connection",
            summary: "Answers the message.",
            arguments: [.string("message")],
            reply: ("bulk string", "bulk string")
        ),
        CommandSpecification(
            .hello,
            "hello",
            arity: -1,
            flags: fast + [CommandSpecification.noMulti],
            categories: ["@fast", "@connection"],
            group: "connection",
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
            ],
            reply: ("flat array of server, version, proto, id, mode, role, modules", "map"),
            beforeAuthentication: true
        ),
        CommandSpecification(
            .auth,
            "auth",
            arity: -2,
            flags: fast + [CommandSpecification.noMulti],
            categories: ["@fast", "@connection"],
            group: "connection",
            summary: "Authenticates the connection.",
            arguments: [.string("username").optional, .string("password")],
            reply: ok,
            beforeAuthentication: true
        ),
        CommandSpecification(
            .quit,
            "quit",
            arity: -1,
            flags: fast,
            categories: ["@fast", "@connection"],
            group: "connection",
            summary: "Closes the connection once everything before is answered.",
            reply: ok,
            beforeAuthentication: true
        ),
        CommandSpecification(
            .reset,
            "reset",
            arity: 1,
            flags: fast,
            categories: ["@fast", "@connection"],
            group: "connection",
            summary: "Puts the connection back as it was when made.",
            reply: ("simple string `RESET`", "simple string `RESET`"),
            beforeAuthentication: true
        ),
        CommandSpecification(
            .select,
            "select",
            arity: 2,
            flags: fast,
            categories: ["@fast", "@connection"],
            group: "connection",
            summary: "For clients that always send it: the one database is 0.",
            arguments: [.integer("index")],
            reply: ok
        ),
        CommandSpecification(
            .readonly,
            "readonly",
            arity: 1,
            flags: fast,
            categories: ["@fast", "@connection"],
            group: "cluster",
            summary: "For cluster clients; changes nothing on a server that stands alone.",
            reply: ok
        ),
        CommandSpecification(
            .readwrite,
            "readwrite",
            arity: 1,
            flags: fast,
            categories: ["@fast", "@connection"],
            group: "cluster",
            summary: "For cluster clients; changes nothing on a server that stands alone.",
            reply: ok
        ),
        CommandSpecification(
            .asking,
            "asking",
            arity: 1,
            flags: fast,
            categories: ["@fast", "@connection"],
            group: "cluster",
            summary: "For cluster clients; changes nothing on a server that stands alone.",
            reply: ok
        ),
        CommandSpecification(
            .deadline,
            "deadline",
            arity: 2,
            flags: fast + [CommandSpecification.noMulti],
            categories: ["@fast", "@connection"],
            group: "connection",
            summary:
                "For the next command of this connection only: where the server's clock is past the time "
                + "when the command would begin, also after it waited in a queue, nothing is done and the answer is `TIMEOUT`. "
                + "With a log a change carries the time along, and every replica skips it where its place in the log is later.",
            arguments: [.integer("unix-ms")],
            reply: ok,
            pipelineClass: .prefix
        ),
        client, command,
    ]
}
