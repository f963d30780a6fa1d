extension CommandSpecification {
    static let auth = CommandSpecification(
        .connection(.auth),
        flags: fastFlags,
        categories: ["@fast", "@connection"],
        group: "connection",
        summary: "Authenticates the connection.",
        arguments: [.string("username").optional, .string("password")],
        reply: okReply,
        // It has a message of its own for them.
        takesFurtherWords: true,
        beforeAuthentication: true,
        inTransaction: .refused
    )
}
