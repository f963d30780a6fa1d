extension CommandSpecification {
    static let config = CommandSpecification(
        .container,
        name: "config",
        flags: adminFlags,
        categories: ["@admin", "@slow", "@dangerous"],
        group: "server",
        summary: "Reads and sets limits.",
        complexity: "Depends on the subcommand",
        reply: okReply,
        subcommands: [
            sub(
                .configGet,
                summary: "Settings whose names match, with their values.",
                complexity: "O(settings × patterns)",
                arguments: [.string("pattern").multiple],
                admin: true,
                reply: ("flat array", "map")
            ),
            sub(
                .configSet,
                summary: "Changes settings that may change while serving.",
                arguments: [.block("data", [.string("parameter"), .string("value")]).multiple],
                admin: true
            ),
            sub(.configResetStatistics, summary: "Sets the statistics of INFO to 0.", admin: true),
            help(of: "config"),
        ]
    )
}
