extension CommandSpecification {
    static let command = CommandSpecification(
        .connection(.command),
        flags: ["loading", "stale"],
        categories: ["@slow", "@connection"],
        tips: ["nondeterministic_output_order"],
        group: "server",
        summary: "Describes every command.",
        complexity: "O(commands)",
        reply: ("array of arrays of 10 elements", "array of arrays of 10 elements"),
        subcommands: [
            sub(
                .commandCount,
                summary: "How many commands there are.",
                reply: ("integer", "integer")
            ),
            sub(
                .commandList,
                summary: "The names of all commands.",
                reply: ("array", "array")
            ),
            sub(
                .commandInfo,
                summary: "Describes the commands named, or all.",
                arguments: [CommandArgument.string("command-name").multiple.optional],
                reply: ("array", "array")
            ),
            sub(
                .commandDocs,
                summary: "Documents the commands named, or all.",
                arguments: [CommandArgument.string("command-name").multiple.optional],
                reply: ("flat array", "map")
            ),
            sub(
                .commandGetKeys,
                summary: "The keys of a whole command.",
                complexity: "O(arguments)",
                arguments: [.string("command"), .string("arg").multiple.optional],
                reply: ("array", "array")
            ),
            sub(
                .commandGetKeysAndFlags,
                summary: "The keys of a whole command, with flags.",
                complexity: "O(arguments)",
                arguments: [.string("command"), .string("arg").multiple.optional],
                reply: ("array of pairs", "array of pairs")
            ),
            help(of: "command"),
        ],
        answersAlone: true
    )
}
