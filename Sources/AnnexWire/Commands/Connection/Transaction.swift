/// Commands that keep others until they are carried out together.
extension CommandSpecification {
    static let multi = CommandSpecification(
        .connection(.multi),
        flags: ["noscript", "loading", "stale", "fast"],
        categories: ["@fast", "@transaction"],
        group: "connection",
        summary:
            "Keeps the commands that follow until `EXEC`: at most 10000, of them at most 500 changes, in all no larger "
            + "than one command may be. Each is answered `QUEUED`.",
        reply: okReply,
        inTransaction: .begins
    )

    static let exec = CommandSpecification(
        .connection(.exec),
        flags: ["noscript", "loading", "stale", "fast"],
        categories: ["@fast", "@transaction"],
        group: "connection",
        summary:
            "Carries out what was kept since `MULTI`. Its changes (EVENT, EVENT.DEL, FORGET) are checked first and stored "
            + "together: all or none, even if the server is killed meanwhile; with a log that holds for the changes of one "
            + "slot, at most 100. Reads ahead of the first change are answered before it, all others see all the changes. "
            + "`EXECABORT` where a command was refused: then nothing was done. Through a router all changes of one "
            + "`EXEC` concern one slot, as users `{42}a` and `{42}b` do.",
        complexity: "Those of its commands",
        reply: ("array of the replies", "array of the replies"),
        inTransaction: .runs
    )

    static let discard = CommandSpecification(
        .connection(.discard),
        flags: ["noscript", "loading", "stale", "fast"],
        categories: ["@fast", "@transaction"],
        group: "connection",
        summary: "Drops what was kept since `MULTI`.",
        reply: okReply,
        inTransaction: .runs
    )

    static let watch = CommandSpecification(
        .connection(.watch),
        flags: ["noscript", "loading", "stale", "fast"],
        categories: ["@fast", "@transaction"],
        group: "connection",
        summary: "Always refused: no key here can be compared before an `EXEC`.",
        arguments: [CommandArgument.string("key").multiple],
        reply: ("error", "error"),
        inTransaction: .refused
    )
}
