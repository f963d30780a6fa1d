import AnnexCore
import AnnexRouter
import AnnexServer

/// Makes INFO's sections of a router.
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
                    // The loop that has the worst opinion of it decides.
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
