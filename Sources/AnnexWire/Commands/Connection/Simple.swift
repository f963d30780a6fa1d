/// Commands of a connection with one argument or none.
extension CommandSpecification {
    static let ping = CommandSpecification(
        .connection(.ping),
        flags: fastFlags,
        categories: ["@fast", "@connection"],
        tips: ["request_policy:all_shards", "response_policy:all_succeeded"],
        group: "connection",
        summary: "Answers PONG, or the message.",
        arguments: [.string("message").optional],
        reply: ("simple string `PONG`, or the message as bulk string", "as RESP2")
    )

    static let echo = CommandSpecification(
        .connection(.echo),
        flags: fastFlags,
        categories: ["@fast", "@connection"],
        group: "connection",
        summary: "Answers the message.",
        arguments: [.string("message")],
        reply: ("bulk string", "bulk string")
    )

    static let quit = CommandSpecification(
        .connection(.quit),
        flags: fastFlags,
        categories: ["@fast", "@connection"],
        group: "connection",
        summary: "Closes the connection once everything before is answered.",
        reply: okReply,
        takesFurtherWords: true,
        beforeAuthentication: true,
        inTransaction: .runs
    )

    static let reset = CommandSpecification(
        .connection(.reset),
        flags: fastFlags,
        categories: ["@fast", "@connection"],
        group: "connection",
        summary: "Puts the connection back as it was when made.",
        reply: ("simple string `RESET`", "simple string `RESET`"),
        beforeAuthentication: true,
        inTransaction: .runs
    )

    static let select = CommandSpecification(
        .connection(.select),
        flags: fastFlags,
        categories: ["@fast", "@connection"],
        group: "connection",
        summary: "For clients that always send it: the one database is 0.",
        arguments: [.integer("index")],
        reply: okReply
    )

    static let deadline = CommandSpecification(
        .connection(.deadline),
        flags: fastFlags,
        categories: ["@fast", "@connection"],
        group: "connection",
        summary:
            "For the next command of this connection only: where the server's clock is past the time "
            + "when the command would begin, also after it waited in a queue, nothing is done and the answer is `TIMEOUT`. "
            + "With a log a change carries the time along, and every replica skips it where its place in the log is later.",
        arguments: [.integer("unix-ms")],
        reply: okReply,
        pipelineClass: .prefix,
        inTransaction: .refused
    )

    static let readonly = idle(.readonly)
    static let readwrite = idle(.readwrite)
    static let asking = idle(.asking)

    private static func idle(_ id: ConnectionCommand) -> CommandSpecification {
        CommandSpecification(
            .connection(id),
            flags: fastFlags,
            categories: ["@fast", "@connection"],
            group: "cluster",
            summary: "For cluster clients; changes nothing on a server that stands alone.",
            reply: okReply
        )
    }
}
