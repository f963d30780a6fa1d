/// Names the words that follow `COMMAND`; the raw value is the word in lower case.
package enum CommandSubcommand: String, Sendable, CaseIterable {
    case count, list, info, docs, getkeys, getkeysandflags
}

extension CommandSpecification {
    static let command = CommandSpecification(
        .command,
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
                CommandSubcommand.count,
                summary: "How many commands there are.",
                reply: ("integer", "integer")
            ),
            sub(
                .command,
                CommandSubcommand.list,
                summary: "The names of all commands.",
                reply: ("array", "array")
            ),
            sub(
                .command,
                CommandSubcommand.info,
                summary: "Describes the commands named, or all.",
                arguments: [CommandArgument.string("command-name").multiple.optional],
                reply: ("array", "array")
            ),
            sub(
                .command,
                CommandSubcommand.docs,
                summary: "Documents the commands named, or all.",
                arguments: [CommandArgument.string("command-name").multiple.optional],
                reply: ("flat array", "map")
            ),
            sub(
                .command,
                CommandSubcommand.getkeys,
                summary: "The keys of a whole command.",
                complexity: "O(arguments)",
                arguments: [.string("command"), .string("arg").multiple.optional],
                reply: ("array", "array")
            ),
            sub(
                .command,
                CommandSubcommand.getkeysandflags,
                summary: "The keys of a whole command, with flags.",
                complexity: "O(arguments)",
                arguments: [.string("command"), .string("arg").multiple.optional],
                reply: ("array of pairs", "array of pairs")
            ),
            help(.command),
        ],
        answersAlone: true
    )
}
