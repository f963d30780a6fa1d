import AnnexCore
import AnnexRouter

/// What stands under `router:` in a topology's file.
enum RouterOptions {
    private static let numbers:
        [(key: String, range: ClosedRange<Int>, set: @Sendable (inout RouterSettings, Int) -> Void)] = [
            ("deadline-ms", 1...60_000, { $0.readDeadline = Self.nanos($1) }),
            ("event-deadline-ms", 1...60_000, { $0.eventDeadline = Self.nanos($1) }),
            ("heavy-deadline-ms", 1...600_000, { $0.heavyDeadline = Self.nanos($1) }),
            ("heavy-cost-us", 1_000...1_000_000_000, { $0.heavyCost = $1 }),
            ("heavy-in-flight", 1...1_000, { $0.heavyInFlight = $1 }),
            ("heavy-queue", 1...1_000_000, { $0.heavyQueue = $1 }),
            ("ping-ms", 10...60_000, { $0.pingInterval = Self.nanos($1) }),
            ("misses", 1...100, { $0.missesToEject = $1 }), ("hits", 1...100, { $0.hitsToReturn = $1 }),
            ("slow-start-ms", 0...600_000, { $0.slowStart = Self.nanos($1) }),
            ("retries-per-thousand", 0...1_000, { $0.retriesPerThousand = $1 }),
            ("hedges-per-thousand", 0...1_000, { $0.hedgesPerThousand = $1 }),
            ("in-flight", 1...1_000_000, { $0.inFlightPerReplica = $1 }),
            ("queue-age-ms", 1...60_000, { $0.readQueueAge = Self.nanos($1) }),
            ("event-queue-age-ms", 1...60_000, { $0.eventQueueAge = Self.nanos($1) }),
        ]

    private static func nanos(_ milliseconds: Int) -> UInt64 { UInt64(milliseconds) * RouterSettings.millisecond }

    static func settings(_ pairs: [(key: String, value: String)], at path: String) throws(AnnexError) -> RouterSettings
    {
        var settings = RouterSettings()
        for (key, value) in pairs {
            guard let entry = Self.numbers.first(where: { $0.key == key }) else {
                throw AnnexError(
                    .usage,
                    "unknown key '\(Printable.escape(key))' under 'router'",
                    at: path,
                    hint: "Keys: " + Self.numbers.map(\.key).sorted().joined(separator: ", ")
                )
            }
            guard let number = Int(value), entry.range.contains(number) else {
                throw AnnexError(
                    .usage,
                    "'\(key)' is '\(Printable.escape(value))'",
                    at: path,
                    hint: "Give a whole number from \(entry.range.lowerBound) to \(entry.range.upperBound)"
                )
            }
            entry.set(&settings, number)
        }
        settings.isHedging = settings.hedgesPerThousand > 0
        return settings
    }
}
