extension CommandSpecification {
    static let auth = CommandSpecification(
        .auth,
        flags: fastFlags,
        categories: ["@fast", "@connection"],
        group: "connection",
        summary: "Authenticates the connection.",
        arguments: [.string("username").optional, .string("password")],
        reply: okReply,
        beforeAuthentication: true,
        inTransaction: .refused
    )
}
