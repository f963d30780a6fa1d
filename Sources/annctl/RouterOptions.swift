import AnnexCore
import AnnexRouter
import AnnexServer
import Synchronization

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

/// INFO's sections of a router.
enum RouterInfo {
    static func sections(_ shared: RouterShared) -> [InfoSection] {
        let reports = shared.reports
        func sum(_ path: KeyPath<RouterCounters, UInt64>) -> String {
            "\(reports.reduce(0) { $0 &+ $1.counters[keyPath: path] })"
        }
        let topology = shared.topology
        return [
            InfoSection(
                "Router",
                [
                    ("router_epoch", "\(topology.epoch)"), ("router_shards", "\(topology.shards.count)"),
                    ("router_requests", sum(\.requests)), ("router_reads", sum(\.reads)),
                    ("router_retries", sum(\.retries)), ("router_hedges", sum(\.hedges)),
                    ("router_redirects", sum(\.redirects)), ("router_refusals", sum(\.refusals)),
                    ("router_timeouts", sum(\.timeouts)), ("router_failures", sum(\.failures)),
                    ("router_second_opinions", sum(\.secondOpinions)),
                    ("router_last_resorts", sum(\.lastResorts)),
                    ("router_heavy_reads", sum(\.heavyReads)), ("router_heavy_waits", sum(\.heavyWaits)),
                    ("router_heavy_refusals", sum(\.heavyRefusals)),
                    ("router_heavy_waiting", "\(reports.reduce(0) { $0 + $1.waitingHeavyReads })"),
                    ("router_late_replies", sum(\.lateReplies)), ("router_unaffordable", sum(\.unaffordable)),
                ]
            ),
            InfoSection(
                "Replicas",
                topology.addresses.map { address in
                    let known = reports.flatMap(\.replicas).filter { $0.address == address }
                    let shard = topology.shard(with: address).map { topology.shards[$0].name } ?? ""
                    // What the loop says that has the worst opinion of it.
                    let state = known.map(\.state).max { $0.rawValue < $1.rawValue }
                    let owed = known.reduce(0) { $0 + $1.inFlight }
                    let heavy = known.reduce(0) { $0 + $1.heavyInFlight }
                    let p99 = known.compactMap(\.p99).max().map { "\($0 / 1_000)" } ?? ""
                    let replies = known.reduce(0) { $0 + $1.replies }
                    let failures = known.reduce(0) { $0 + $1.failures }
                    return (
                        "replica_\(address)",
                        "shard=\(shard),state=\(state.map { "\($0)" } ?? "unknown"),owed=\(owed),heavy=\(heavy),"
                            + "replies=\(replies),failures=\(failures),p99_usec=\(p99)"
                    )
                }
            ),
        ]
    }
}

/// When something was done last.
final class LockedTime: Sendable {
    private let last = Mutex<ContinuousClock.Instant?>(nil)

    /// Whether so long has passed since it last said yes.
    func passed(_ interval: Duration) -> Bool {
        self.last.withLock { last in
            if let before = last, ContinuousClock.now - before < interval { return false }
            last = .now
            return true
        }
    }
}
