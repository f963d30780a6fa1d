package import AnnexCore
package import AnnexRouter

/// Describes the settings under `router:` in a topology's file.
package enum RouterOptions {
    package typealias Row = Setting<RouterSettings>

    package static let all: [Row] = [
        milliseconds("deadline-ms", \.readDeadline, 1...60_000, "From having a read to answering it; then TIMEOUT."),
        milliseconds("event-deadline-ms", \.eventDeadline, 1...60_000, "The same of an event."),
        milliseconds("heavy-deadline-ms", \.heavyDeadline, 1...600_000, "The same of a heavy read."),
        row(
            "heavy-cost-us",
            "microseconds",
            \.heavyCost,
            1_000...1_000_000_000,
            "Reads that are guessed to cost a shard more are heavy; see docs/cluster.md."
        ),
        row("heavy-in-flight", "", \.heavyInFlight, 1...1_000, "Heavy reads under way at one replica."),
        row("heavy-queue", "", \.heavyQueue, 1...1_000_000, "Heavy reads that wait for one shard; then OVERLOADED."),
        milliseconds("ping-ms", \.pingInterval, 10...60_000, "Between two PINGs of a replica."),
        row("misses", "", \.missesToEject, 1...100, "Missed PINGs in a row until a replica is left out."),
        row("hits", "", \.hitsToReturn, 1...100, "Answered PINGs in a row until it is taken back."),
        milliseconds(
            "slow-start-ms",
            \.slowStart,
            0...600_000,
            "Time in which the share of a replica that is taken back grows to its full one."
        ),
        row(
            "retries-per-thousand",
            "per thousand requests",
            \.retriesPerThousand,
            0...1_000,
            "Second attempts of reads that failed, and of events that cannot have been stored."
        ),
        Row(
            "hedges-per-thousand",
            .file,
            unit: "per thousand requests",
            .whole(0...1_000, read: { $0.hedgesPerThousand }) { settings, count in
                settings.hedgesPerThousand = count
                settings.isHedging = count > 0
            },
            help: "Second attempts of reads that take longer than 95 % of the shard's do; 0: never."
        ),
        row("in-flight", "", \.inFlightPerReplica, 1...1_000_000, "Requests that one replica may owe at a time."),
        milliseconds(
            "queue-age-ms",
            \.readQueueAge,
            1...60_000,
            "How long a replica may have owed a reply to a read, where many wait for it; then OVERLOADED."
        ),
        milliseconds("event-queue-age-ms", \.eventQueueAge, 1...60_000, "The same of a reply to an event."),
    ]

    private static func row(
        _ name: String,
        _ unit: String,
        _ path: any WritableKeyPath<RouterSettings, Int> & Sendable,
        _ range: ClosedRange<Int>,
        _ help: String
    ) -> Row {
        Row(name, .file, unit: unit, .whole(path, range), help: help)
    }

    private static func milliseconds(
        _ name: String,
        _ path: any WritableKeyPath<RouterSettings, UInt64> & Sendable,
        _ range: ClosedRange<Int>,
        _ help: String
    ) -> Row {
        Row(
            name,
            .file,
            unit: "milliseconds",
            .whole(
                range,
                read: { Int(clamping: $0[keyPath: path] / RouterSettings.millisecond) },
                write: { $0[keyPath: path] = UInt64(clamping: $1) * RouterSettings.millisecond }
            ),
            help: help
        )
    }

    /// - Throws: `.usage` for an unknown key, and for a value that it cannot have.
    static func set(_ key: String, to value: String, in settings: inout RouterSettings) throws(AnnexError) {
        guard let row = Self.all.first(where: { $0.name == key }) else {
            throw AnnexError(
                .usage,
                "unknown key '\(Printable.escape(key))' under 'router'",
                hint: "Keys: " + Self.all.map(\.name).sorted().joined(separator: ", ")
            )
        }
        try row.set(value, in: &settings, label: "'\(key)'")
    }
}
