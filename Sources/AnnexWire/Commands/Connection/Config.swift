/// Names the words that follow `CONFIG`; the raw value is the word in lower case.
package enum ConfigSubcommand: String, Sendable, CaseIterable {
    case get, set, resetstat
}

extension CommandSpecification {
    static let config = CommandSpecification(
        .config,
        flags: adminFlags,
        categories: ["@admin", "@slow", "@dangerous"],
        group: "server",
        summary: "Reads and sets limits.",
        complexity: "Depends on the subcommand",
        reply: okReply,
        subcommands: [
            sub(
                .config,
                ConfigSubcommand.get,
                summary: "Settings whose names match, with their values.",
                complexity: "O(settings × patterns)",
                arguments: [.string("pattern").multiple],
                admin: true,
                reply: ("flat array", "map")
            ),
            sub(
                .config,
                ConfigSubcommand.set,
                summary: "Changes settings that may change while serving.",
                arguments: [.block("data", [.string("parameter"), .string("value")]).multiple],
                admin: true
            ),
            sub(.config, ConfigSubcommand.resetstat, summary: "Sets the statistics of INFO to 0.", admin: true),
            help(.config),
        ]
    )
}
