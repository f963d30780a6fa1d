/// Values that rows of connection and server commands share.
extension CommandSpecification {
    static let fastFlags = ["fast", "loading", "stale"]
    static let adminFlags = ["admin", "loading", "noscript", "stale"]
    static let okReply = ("simple string `OK`", "simple string `OK`")

    static func sub(
        _ id: ConnectionCommand,
        summary: String,
        complexity: String = "O(1)",
        arguments: [CommandArgument] = [],
        takesFurtherWords: Bool = false,
        admin: Bool = false,
        reply: (String, String) = okReply
    ) -> CommandSpecification {
        CommandSpecification(
            .connection(id),
            flags: admin ? adminFlags : fastFlags,
            categories: admin ? ["@admin", "@slow", "@dangerous"] : ["@fast", "@connection"],
            group: id.rawValue.hasPrefix("client|") ? "connection" : "server",
            summary: summary,
            complexity: complexity,
            arguments: arguments,
            reply: reply,
            takesFurtherWords: takesFurtherWords
        )
    }

    static func help(of container: String) -> CommandSpecification {
        CommandSpecification(
            .help,
            name: container + "|help",
            flags: fastFlags,
            categories: ["@fast", "@connection"],
            group: container == "client" ? "connection" : "server",
            summary: "Lists the subcommands.",
            reply: ("array", "array")
        )
    }
}
