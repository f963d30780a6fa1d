package import AnnexCore
import AnnexRouter
package import AnnexServer
import Foundation
package import Logging
package import NIOCore
import Synchronization

/// Holds the settings with which a router starts.
package struct RouterNodeSettings: Sendable {
    /// Sets the listener, whose password is that of `password`.
    package var server = ServerConfiguration()
    /// Who serves which users; its `router:` says how replicas are treated.
    package var topologyFile = ""
    /// Returns the clients' password. With nil none is needed.
    package var password: String? {
        didSet { self.server.passwordHash = self.password.map { PasswordHash(password: $0) } }
    }
    /// Holds the shards' password. With nil it is that of the clients.
    package var shardPassword: String?
    /// Holds the pause that whoever stops the node makes between `leave` and `stop`.
    package var drainPauseSeconds = 0
    /// So many seconds lie between looks at the topology's file.
    package var topologySeconds = 1.0

    /// The default is one event loop per core.
    package init() {
        self.server.port = 7_600
        self.server.threads = ProcessInfo.processInfo.activeProcessorCount
    }
}

/// Runs a router as a process does: the topology and its file, the decisions of each loop, and the server.
///
/// `init`, `start` and `stop` are called once each, in this order. What fails leaves nothing running.
package final class RouterNode: Sendable {
    private let settings: RouterNodeSettings
    private let logger: Logger
    private let shared: RouterShared
    private let server: LineServer
    private let watch: TopologyWatch
    private let parts = NodeParts()

    /// Reads the topology. Nothing listens yet.
    ///
    /// - Throws: `.usage` for a topology or settings that must not be served.
    package init(_ settings: RouterNodeSettings, logger: Logger) throws(AnnexError) {
        try settings.server.validate(settings.password)
        let path = settings.topologyFile
        let file = try TopologyFile(path)
        let stale = TopologyAlarm(logger)
        let shared = RouterShared(
            topology: file.topology,
            settings: file.router,
            password: settings.shardPassword ?? settings.password,
            logger: logger,
            onStale: { stale.raise() }
        )
        self.settings = settings
        self.logger = logger
        self.shared = shared
        let watch = TopologyWatch(path, first: file, every: settings.topologySeconds, logger)
        self.watch = watch
        let server = try LineServer(
            configuration: settings.server,
            makeHandler: { index, loop in RouterHandler(shared, index: index, loop: loop) },
            info: { RouterInfo.sections(shared) + [watch.section] },
            cluster: Self.view(port: settings.server.port),
            logger: logger
        )
        self.server = server
        self.parts.add("server") { await server.shutdown(grace: .seconds(4)) }
    }

    /// Shows the router to a cluster client as the one node that has all slots. Returns nil where the port is not known
    /// yet.
    private static func view(port: Int) -> ClusterView? {
        guard port != 0 else { return nil }
        let itself = ClusterTopology.Address(host: "", port: port)
        let alone = ClusterTopology(
            epoch: 1,
            shards: [ClusterTopology.Shard(name: "router", slots: .all, replicas: [itself])]
        )
        return ClusterView(ClusterView.Snapshot(topology: alone, own: itself))
    }

    /// Listens, and follows the topology's file from now on.
    ///
    /// - Returns: the address, with the real port where 0 was asked for.
    /// - Throws: `.system` where it cannot listen; the node has ended then.
    @discardableResult package func start() async throws -> SocketAddress {
        let (watch, shared, path) = (self.watch, self.shared, self.settings.topologyFile)
        // The watch stops first, because loops that are gone follow no file.
        self.parts.add("topology") { watch.stop() }
        do {
            let address = try await self.server.start()
            watch.start { changed throws(AnnexError) in
                guard changed.router == shared.settings else {
                    throw AnnexError(
                        .usage,
                        "what is under 'router' is not what the router started with",
                        at: path,
                        hint:
                            "Nothing of the file is followed until the router starts again, or has that part as before"
                    )
                }
                shared.change(to: changed.topology)
            }
            self.logger.info(
                "Routing",
                metadata: [
                    "address": "\(ShardNode.text(address, self.settings.server))",
                    "shards": "\(shared.topology.shards.count)", "replicas": "\(shared.topology.addresses.count)",
                ]
            )
            return address
        } catch {
            await self.parts.end(self.logger)
            throw error
        }
    }

    /// Has READY say from now on that the router ends; everything else is as before.
    package func leave() { self.server.leave() }

    /// Answers what clients have sent, then ends every part. Takes at most some 4 s.
    package func stop() async { await self.parts.end(self.logger) }
}

/// Says once a minute that shards and this router disagree about who serves whom. Any thread may use it.
private final class TopologyAlarm: Sendable {
    private static let interval = Duration.seconds(60)
    private let logger: Logger
    private let last = Mutex<ContinuousClock.Instant?>(nil)

    init(_ logger: Logger) { self.logger = logger }

    func raise() {
        let isDue = self.last.withLock { last in
            if let before = last, ContinuousClock.now - before < Self.interval { return false }
            last = .now
            return true
        }
        guard isDue else { return }
        self.logger.warning(
            "A shard answered MOVED: its topology is another one than this router's; compare the files"
        )
    }
}
