/// Holds values that rows of connection and server commands share.
extension CommandSpecification {
    static let fastFlags = ["fast", "loading", "stale"]
    static let adminFlags = ["admin", "loading", "noscript", "stale"]
    static let okReply = ("simple string `OK`", "simple string `OK`")
    static let helpSummary = "Lists the subcommands."
    static let helpReply = ("array", "array")

    static func sub(
        _ id: ConnectionCommand,
        _ child: some RawRepresentable<String>,
        summary: String,
        complexity: String = "O(1)",
        arguments: [CommandArgument] = [],
        ignoresFurtherWords: Bool = false,
        admin: Bool = false,
        reply: (String, String) = okReply
    ) -> CommandSpecification {
        CommandSpecification(
            id,
            child: child.rawValue,
            flags: admin ? adminFlags : fastFlags,
            categories: admin ? ["@admin", "@slow", "@dangerous"] : ["@fast", "@connection"],
            group: id == .client ? "connection" : "server",
            summary: summary,
            complexity: complexity,
            arguments: arguments,
            reply: reply,
            ignoresFurtherWords: ignoresFurtherWords
        )
    }

    private enum Help: String { case help }

    /// Returns the row of a container's `HELP`, which the table answers itself.
    static func help(_ id: ConnectionCommand) -> CommandSpecification {
        sub(id, Help.help, summary: helpSummary, reply: helpReply)
    }
}
