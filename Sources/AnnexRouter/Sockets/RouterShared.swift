package import AnnexCore
package import Logging
import NIOCore
import Synchronization

/// State that all loops of a router share: the topology as of now, and how replicas are treated.
package final class RouterShared: Sendable {
    package let settings: RouterSettings
    /// The replicas' password; nil where they need none.
    let password: String?
    let logger: Logger
    /// Bytes that all links hold for replicas which did not take them yet.
    let outboxBytes = Atomic<Int>(0)
    private let staleness: @Sendable () -> Void

    private struct State {
        var topology: ClusterTopology
        var watchers: [@Sendable (ClusterTopology) -> Void] = []
        var reports: [Int: RouterReport] = [:]
    }
    private let state: Mutex<State>

    /// - Parameter onStale: called, at most once a second for each loop, when a replica says that the topology has
    ///   changed. Must not block.
    package init(
        topology: ClusterTopology,
        settings: RouterSettings,
        password: String?,
        logger: Logger,
        onStale: @escaping @Sendable () -> Void = {}
    ) {
        self.settings = settings
        self.password = password
        self.logger = logger
        self.staleness = onStale
        self.state = Mutex(State(topology: topology))
    }

    /// The clock of all decisions, in nanoseconds.
    static func now() -> UInt64 { NIODeadline.now().uptimeNanoseconds }

    package var topology: ClusterTopology { self.state.withLock { $0.topology } }

    /// Loops follow at once; no connection is dropped.
    package func change(to topology: ClusterTopology) {
        let watchers = self.state.withLock { state in
            state.topology = topology
            return state.watchers
        }
        for watcher in watchers { watcher(topology) }
    }

    func watch(_ watcher: @escaping @Sendable (ClusterTopology) -> Void) {
        self.state.withLock { $0.watchers.append(watcher) }
    }

    func topologyIsStale() { self.staleness() }

    func publish(_ report: RouterReport, loop: Int) { self.state.withLock { $0.reports[loop] = report } }

    /// The last report of each loop, at most half a second old.
    package var reports: [RouterReport] { self.state.withLock { state in state.reports.values.map { $0 } } }
}

/// The figures of one loop of a router.
package struct RouterReport: Sendable {
    package let counters: RouterCounters
    /// Heavy reads that wait for their turn.
    package let waitingHeavyReads: Int
    package let replicas: [ReplicaStatus]
}

extension SystemRandomNumberGenerator {
    static func seed() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}
