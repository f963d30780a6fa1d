import AnnexClient
import AnnexCore
import AnnexServer
import Dispatch
import Foundation
import Logging
import Synchronization

/// A server's part in its cluster: its slots, who else is well, and what the topology's file says now.
final class ClusterMembership: Sendable {
    let view: ClusterView
    /// This server's.
    let slots: SlotSet
    private let monitor: HealthMonitor
    private let watch: TopologyWatch

    /// Begins to look at the others and at the file.
    ///
    /// - Parameters:
    ///   - slots: what the caller believes to be its slots; an error where the file says otherwise.
    ///   - own: this server's address as it stands in the file.
    init(
        file: String,
        own: ClusterTopology.Address,
        slots: SlotSet?,
        password: String?,
        logger: Logger
    ) throws(AnnexError) {
        let topology = try TopologyFile(file).topology
        let snapshot = ClusterView.Snapshot(topology: topology, own: own)
        guard let shard = snapshot.shard else {
            throw AnnexError(
                .usage,
                "no replica of the topology is \(own)",
                at: file,
                hint: "Add it, or say with --announce HOST:PORT which one this server is"
            )
        }
        let owned = topology.shards[shard].slots
        if let slots, slots != owned {
            throw AnnexError(
                .usage,
                "--slots is \(slots), and the topology gives \(owned) to \(own)",
                at: file,
                hint: "Make them equal, or leave --slots out"
            )
        }
        let view = ClusterView(snapshot)
        self.view = view
        self.slots = owned
        var settings = HealthMonitor.Settings()
        settings.password = password
        let tallies = Mutex<[ClusterTopology.Address: PingTally]>([:])
        let monitor = HealthMonitor(settings) { address, nanos in
            let changed = tallies.withLock { tallies in
                var tally = tallies[address] ?? PingTally()
                defer { tallies[address] = tally }
                return tally.add(answered: nanos != nil) ? tally.isWell : nil
            }
            guard let changed else { return }
            view.set(address, isWell: changed)
            logger.info("Replica \(changed ? "is back" : "does not answer")", metadata: ["replica": "\(address)"])
        }
        self.monitor = monitor
        monitor.watch(topology.addresses.filter { $0 != own })
        self.watch = TopologyWatch(file, first: topology, logger) { changed in
            // Slots that move take their users along, which a changed file alone cannot do.
            guard let shard = changed.topology.shard(with: own), changed.topology.shards[shard].slots == owned else {
                throw AnnexError(
                    .usage,
                    "this server's slots are \(owned) until it starts again, and the file gives \(own) others",
                    at: file
                )
            }
            let addresses = Set(changed.topology.addresses)
            tallies.withLock { tallies in tallies = tallies.filter { addresses.contains($0.key) } }
            view.change(to: changed.topology)
            monitor.watch(changed.topology.addresses.filter { $0 != own })
        }
    }

    func stop() async {
        self.watch.stop()
        await self.monitor.stop()
    }
}

/// Looks at a topology's file once a second, adopts what two looks in a row saw, as a file may be read while it is written, and every five at what the DNS says of its `srv:` names, and tells what it says
/// when that is new and sound.
final class TopologyWatch: Sendable {
    private static let namesEvery = 5

    private struct Seen {
        /// What the last look saw, and the text that was judged last: adopted, or refused.
        var text: Data?
        var judged: Data?
        /// What was adopted last, and the text that said it.
        var topology: ClusterTopology
        var adopted: Data?
        /// Looks since the names were looked up.
        var age = 0
    }

    private let path: String
    private let adopt: @Sendable (TopologyFile) throws -> Void
    private let seen: Mutex<Seen>
    /// Only cancelled after it was started, which any thread may do.
    nonisolated(unsafe) private let timer: any DispatchSourceTimer

    /// - Parameters:
    ///   - first: what the file said when it was read first.
    ///   - adopt: called on a thread of the watch's own; a throw means that what was before stays.
    init(
        _ path: String,
        first: ClusterTopology,
        _ logger: Logger,
        adopt: @escaping @Sendable (TopologyFile) throws -> Void
    ) {
        self.path = path
        self.adopt = adopt
        let text = FileManager.default.contents(atPath: path)
        self.seen = Mutex(Seen(text: text, judged: text, topology: first, adopted: text))
        self.timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "annex-topology"))
        self.timer.schedule(deadline: .now() + 1, repeating: 1)
        self.timer.setEventHandler { [weak self] in
            do {
                guard let topology = try self?.look() else { return }
                logger.info("Topology changed", metadata: ["epoch": "\(topology.epoch)"])
            } catch {
                logger.error(
                    "A new topology was refused, the one before stays",
                    metadata: ["file": "\(path)", "reason": "\(error)"]
                )
            }
        }
        self.timer.resume()
    }

    func stop() { self.timer.cancel() }

    /// Returns what was adopted; nil where nothing is new.
    private func look() throws -> ClusterTopology? {
        guard let now = FileManager.default.contents(atPath: self.path) else { return nil }
        let before = self.seen.withLock { seen in
            defer {
                seen.text = now
                seen.age += 1
            }
            return seen
        }
        // It may be written at this moment, and make sense so far: a later look sees whether it stays.
        guard before.text == now else { return nil }
        let isNew = before.judged != now
        let text = String(decoding: now, as: UTF8.self)
        guard isNew || (before.age >= Self.namesEvery && text.contains(ServiceRecords.prefix)) else { return nil }
        self.seen.withLock { seen in
            seen.age = 0
            seen.judged = now
        }
        let file = try TopologyFile(text: text, at: self.path)
        guard file.topology != before.topology else { return nil }
        if before.adopted != now, file.topology.epoch <= before.topology.epoch {
            throw AnnexError(
                .usage,
                "epoch is \(file.topology.epoch) and was \(before.topology.epoch)",
                at: self.path,
                hint: "Let it grow with each change, so that an old file is known as one"
            )
        }
        try self.adopt(file)
        self.seen.withLock { seen in
            seen.topology = file.topology
            seen.adopted = now
        }
        return file.topology
    }
}
