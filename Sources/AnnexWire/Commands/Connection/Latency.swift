/// Names the words that follow `LATENCY`; the raw value is the word in lower case.
package enum LatencySubcommand: String, Sendable, CaseIterable {
    case latest, reset, histogram
}

extension CommandSpecification {
    static let latency = CommandSpecification(
        .latency,
        flags: adminFlags,
        categories: ["@admin", "@slow", "@dangerous"],
        group: "server",
        summary: "Histograms of how long commands took.",
        complexity: "Depends on the subcommand",
        reply: okReply,
        subcommands: [
            sub(
                .latency,
                LatencySubcommand.latest,
                summary: "Latency spikes: none are recorded.",
                admin: true,
                reply: ("empty array", "empty array")
            ),
            sub(
                .latency,
                LatencySubcommand.reset,
                summary: "Resets the spikes: there are none.",
                arguments: [.string("event").multiple.optional],
                admin: true,
                reply: ("integer", "integer")
            ),
            sub(
                .latency,
                LatencySubcommand.histogram,
                summary: "Cumulative histogram per command.",
                complexity: "O(commands)",
                arguments: [.string("command").multiple.optional],
                admin: true,
                reply: ("flat array", "map")
            ),
            help(.latency),
        ]
    )
}
