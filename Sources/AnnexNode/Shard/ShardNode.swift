import AnnexCore
import AnnexEngine
import AnnexLog
import AnnexServer
import AnnexShard
import AnnexStore
package import Logging
package import NIOCore
import Synchronization

/// Runs a shard as a process does: the engine with its versions, users' states, the log, the cluster, and the server.
///
/// `open`, `start` and `stop` are called once each, in this order. What fails leaves nothing running and no lock held.
package final class ShardNode: Sendable {
    private let settings: ShardSettings
    private let logger: Logger
    private let parts: NodeParts
    private let states: [EntryName: StateStore]
    /// Holds the parts that use the versions and the states' files. It is nil once the node has ended, so that it holds
    /// no lock that the next one needs.
    private let running: Mutex<Running?>

    private struct Running {
        let server: LineServer
        let membership: ClusterMembership?
        let watch: VersionWatch?
    }

    /// Opens the states, verifies and loads what `current` names of every index, and follows the logs. Nothing listens yet. Blocks,
    /// O(bytes of the versions).
    ///
    /// - Throws: `.usage` for settings that must not be served, `.damaged`, `.busy` or `.system` for what cannot be opened.
    package static func open(_ settings: ShardSettings, logger: Logger) async throws -> ShardNode {
        try settings.validate()
        let parts = NodeParts()
        do { return try ShardNode(settings, parts, logger) } catch {
            await parts.end(logger)
            throw error
        }
    }

    private init(_ settings: ShardSettings, _ parts: NodeParts, _ logger: Logger) throws {
        self.settings = settings
        self.logger = logger
        self.parts = parts
        let membership = try ClusterMembership(settings, logger: logger)
        let names = try IndexFolder.names(of: settings.folders)
        let folders = Dictionary(uniqueKeysWithValues: zip(names, settings.folders))
        let address = try settings.logAddress
        let logThread = address.map { _ in LogThread() }
        if let logThread { parts.add("log thread") { await logThread.end() } }
        let states = try Self.openStates(names, settings, parts, logger)
        self.states = states
        var logs: FollowedLogs?
        if let address, let logThread {
            let slots = membership?.slots ?? .all
            let followed = FollowedLogs(states, at: address, settings, slots: slots, on: logThread, logger)
            parts.add("log") { followed.stop() }
            logs = followed
        }
        let loader = VersionLoader(
            folders: folders,
            states: states,
            logs: logs?.followers ?? [:],
            searching: settings.searching,
            decay: settings.cold == .popular ? PopularItems.Decay(halfLifeDays: settings.coldHalfLifeDays) : nil,
            logger: logger
        )
        let engine = try Engine(indexes: names) { index, version in
            try LowPriorityThread.run { try loader.load(index, version) }
        }
        let watch =
            settings.watchSeconds > 0 ? VersionWatch(folders, engine, every: settings.watchSeconds, logger) : nil
        if let decay = loader.decay {
            let popularity = PopularityTimer(engine, decay, logger)
            parts.add("popularity") { popularity.stop() }
        }
        let server = try Self.server(engine, settings.server, membership, logger)
        parts.add("server") { await server.shutdown(grace: .seconds(4)) }
        // Loops that are gone are told of no new version.
        parts.add("swaps") { engine.stopObserving() }
        self.running = Mutex(Running(server: server, membership: membership, watch: watch))
        logs?.start(patience: settings.logPatience)
    }

    /// Opens the state of each index. Blocks.
    private static func openStates(
        _ indexes: [EntryName],
        _ settings: ShardSettings,
        _ parts: NodeParts,
        _ logger: Logger
    ) throws -> [EntryName: StateStore] {
        guard let stateFolder = settings.stateFolder else { return [:] }
        var states: [EntryName: StateStore] = [:]
        for index in indexes {
            var opening = StateSettings()
            opening.lockPatience = settings.lockPatience
            opening.pageCheck = settings.pageCheck
            opening.notice = { logger.warning("\($0)", metadata: ["index": "\(index)"]) }
            opening.interval = settings.durabilityInterval
            let state = try StateStore(stateFolder + "/" + index.value, settings: opening)
            parts.add("state") { state.close() }
            states[index] = state
        }
        return states
    }

    private static func server(
        _ engine: Engine,
        _ configuration: ServerConfiguration,
        _ membership: ClusterMembership?,
        _ logger: Logger
    ) throws -> LineServer {
        // Made before anything listens, so that what can fail has failed.
        let handlers = HandlerShelf(try (0..<configuration.threads).map { _ in try ShardHandler(engine: engine) })
        return try LineServer(
            configuration: configuration,
            makeHandler: { loop, eventLoop in
                let handler = handlers[loop]
                let bound = NIOLoopBound(handler, eventLoop: eventLoop)
                // An idle loop lets go of a version too.
                engine.onSwap { eventLoop.execute { bound.value.refresh() } }
                return handler
            },
            info: { ShardInfo.sections(engine) + (membership.map { [$0.section] } ?? []) },
            cluster: membership?.view,
            keyCount: { engine.versions.count },
            logger: logger
        )
    }

    /// Listens, and looks for new versions and topologies from now on.
    ///
    /// - Returns: the address, with the real port where 0 was asked for.
    /// - Throws: `.system` where it cannot listen; the node has ended then.
    @discardableResult package func start() async throws -> SocketAddress {
        guard let running = self.running.withLock({ $0 }) else {
            throw AnnexError(.unavailable, "the node has been stopped")
        }
        let (membership, watch) = (running.membership, running.watch)
        if let membership { self.parts.add("cluster") { await membership.stop() } }
        if let watch { self.parts.add("watch") { watch.stop() } }
        membership?.start()
        do {
            let address = try await running.server.start()
            watch?.start()
            self.logger.info("Serving", metadata: ["address": "\(Self.text(address, self.settings.server))"])
            return address
        } catch {
            await self.stop()
            throw error
        }
    }

    /// Answers what clients have sent, then ends every part: the server first, the log's thread last. What a client was told to be
    /// kept is on the disk when this returns, and another node may open the states. May be called where `start` was not. Takes at
    /// most some 4 s, and longer where a version is being loaded.
    package func stop() async {
        await self.parts.end(self.logger)
        self.running.withLock { $0 = nil }
    }

    /// Writes what was acknowledged, and nothing else: for a process that ends while `stop` still waits. Blocks.
    package func closeStates() { for state in self.states.values { state.close() } }

    static func text(_ address: SocketAddress, _ configuration: ServerConfiguration) -> String {
        "\(address.ipAddress ?? configuration.host):\(address.port ?? configuration.port)"
    }
}

/// Keeps handlers on their way to the event loops. It is safe because each loop takes its own, once.
private struct HandlerShelf: @unchecked Sendable {
    private let handlers: [ShardHandler]
    init(_ handlers: [ShardHandler]) { self.handlers = handlers }
    subscript(loop: Int) -> ShardHandler { self.handlers[loop] }
}
