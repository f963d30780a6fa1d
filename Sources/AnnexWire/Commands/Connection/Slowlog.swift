/// Names the words that follow `SLOWLOG`; the raw value is the word in lower case.
package enum SlowlogSubcommand: String, Sendable, CaseIterable {
    case get, len, reset
}

extension CommandSpecification {
    static let slowlog = CommandSpecification(
        .slowlog,
        flags: adminFlags,
        categories: ["@admin", "@slow", "@dangerous"],
        group: "server",
        summary: "The commands that took longest.",
        complexity: "Depends on the subcommand",
        reply: okReply,
        subcommands: [
            sub(
                .slowlog,
                SlowlogSubcommand.get,
                summary: "Entries, newest first.",
                complexity: "O(entries)",
                arguments: [.integer("count").optional],
                admin: true,
                reply: ("array", "array")
            ),
            sub(
                .slowlog,
                SlowlogSubcommand.len,
                summary: "Number of entries.",
                admin: true,
                reply: ("integer", "integer")
            ),
            sub(.slowlog, SlowlogSubcommand.reset, summary: "Forgets the entries.", admin: true),
            help(.slowlog),
        ]
    )
}
