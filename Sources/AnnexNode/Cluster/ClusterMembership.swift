import AnnexClient
import AnnexCore
import AnnexServer
import Logging
import Synchronization

/// Knows a server's part in its cluster: its slots, who else is well, and what the topology's file says now.
final class ClusterMembership: Sendable {
    let view: ClusterView
    /// This server owns these slots.
    let slots: SlotSet
    private let own: ClusterTopology.Address
    private let password: String?
    private let logger: Logger
    private let watch: TopologyWatch
    /// Keeps how the others answered last.
    private let tallies = Mutex<[ClusterTopology.Address: PingTally]>([:])
    private let monitor = Mutex<HealthMonitor?>(nil)

    /// Reads the file, and runs nothing yet. Returns nil where the server stands alone.
    ///
    /// - Throws: `.usage` where the file is not sound, does not have this server, or gives it other slots than the settings say.
    init?(_ settings: ShardSettings, logger: Logger) throws(AnnexError) {
        guard let path = settings.topologyFile else { return nil }
        let own =
            settings.announced ?? ClusterTopology.Address(host: settings.server.host, port: settings.server.port)
        let file = try TopologyFile(path)
        let snapshot = ClusterView.Snapshot(topology: file.topology, own: own)
        guard let shard = snapshot.shard else {
            throw AnnexError(
                .usage,
                "no replica of the topology is \(own)",
                at: path,
                hint: "Add it, or say with --announce HOST:PORT which one this server is"
            )
        }
        let owned = file.topology.shards[shard].slots
        if let slots = settings.slots, slots != owned {
            throw AnnexError(
                .usage,
                "--slots is \(slots), and the topology gives \(owned) to \(own)",
                at: path,
                hint: "Make them equal, or leave --slots out"
            )
        }
        self.view = ClusterView(snapshot)
        self.slots = owned
        self.own = own
        self.password = settings.password
        self.logger = logger
        self.watch = TopologyWatch(path, first: file, every: settings.topologySeconds, logger)
    }

    /// Begins to look at the others and at the file.
    func start() {
        var settings = HealthMonitor.Settings()
        settings.password = self.password
        let monitor = HealthMonitor(settings) { [weak self] address, nanos in
            self?.heard(from: address, answered: nanos != nil)
        }
        self.monitor.withLock { $0 = monitor }
        monitor.watch(self.view.snapshot.topology.addresses.filter { $0 != self.own })
        self.watch.start { [weak self] changed throws(AnnexError) in try self?.adopt(changed) }
    }

    /// Says what INFO tells of the topology's file.
    var section: InfoSection { self.watch.section }

    func stop() async {
        self.watch.stop()
        await self.monitor.withLock { $0.take() }?.stop()
    }

    private func heard(from address: ClusterTopology.Address, answered: Bool) {
        let changed = self.tallies.withLock { tallies in
            var tally = tallies[address] ?? PingTally()
            defer { tallies[address] = tally }
            return tally.add(answered: answered) ? tally.isWell : nil
        }
        guard let changed else { return }
        self.view.set(address, isWell: changed)
        self.logger.info("Replica \(changed ? "is back" : "does not answer")", metadata: ["replica": "\(address)"])
    }

    /// - Throws: `.usage` where this server's slots would change: users move with their slots, which a changed file alone cannot do.
    private func adopt(_ changed: TopologyFile) throws(AnnexError) {
        let topology = changed.topology
        guard let shard = topology.shard(with: self.own), topology.shards[shard].slots == self.slots else {
            throw AnnexError(
                .usage,
                "this server's slots are \(self.slots) until it starts again, and the file gives \(self.own) others",
                at: self.watch.path
            )
        }
        let addresses = Set(topology.addresses)
        self.tallies.withLock { tallies in tallies = tallies.filter { addresses.contains($0.key) } }
        self.view.change(to: topology)
        self.monitor.withLock { $0 }?.watch(topology.addresses.filter { $0 != self.own })
    }
}
