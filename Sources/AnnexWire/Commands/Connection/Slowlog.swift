extension CommandSpecification {
    static let slowlog = CommandSpecification(
        .container,
        name: "slowlog",
        flags: adminFlags,
        categories: ["@admin", "@slow", "@dangerous"],
        group: "server",
        summary: "The commands that took longest.",
        complexity: "Depends on the subcommand",
        reply: okReply,
        subcommands: [
            sub(
                .slowlogGet,
                summary: "Entries, newest first.",
                complexity: "O(entries)",
                arguments: [.integer("count").optional],
                takesFurtherWords: true,
                admin: true,
                reply: ("array", "array")
            ),
            sub(
                .slowlogLength,
                summary: "Number of entries.",
                admin: true,
                reply: ("integer", "integer")
            ),
            sub(.slowlogReset, summary: "Forgets the entries.", admin: true),
            help(of: "slowlog"),
        ]
    )
}
