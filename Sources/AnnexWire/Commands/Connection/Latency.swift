extension CommandSpecification {
    static let latency = CommandSpecification(
        .container,
        name: "latency",
        flags: adminFlags,
        categories: ["@admin", "@slow", "@dangerous"],
        group: "server",
        summary: "Histograms of how long commands took.",
        complexity: "Depends on the subcommand",
        reply: okReply,
        subcommands: [
            sub(
                .latencyLatest,
                summary: "Latency spikes: none are recorded.",
                admin: true,
                reply: ("empty array", "empty array")
            ),
            sub(
                .latencyReset,
                summary: "Resets the spikes: there are none.",
                arguments: [.string("event").multiple.optional],
                admin: true,
                reply: ("integer", "integer")
            ),
            sub(
                .latencyHistogram,
                summary: "Cumulative histogram per command.",
                complexity: "O(commands)",
                arguments: [.string("command").multiple.optional],
                admin: true,
                reply: ("flat array", "map")
            ),
            help(of: "latency"),
        ]
    )
}
