import AnnexCore
import AnnexRouter
import AnnexServer
import AnnexWire
import ArgumentParser
import Foundation
import Logging
import NIOCore

struct RouteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "route",
        abstract: "Speak for all shards: the same protocol, the same commands, one address.",
        discussion: """
            Clients that know Redis Cluster can go straight to the shards; all others ask a router. It sends each command to a \
            replica of the shard that has the user, and what the replica says back as it was said; MTOPK goes to several \
            shards and comes back in the order asked. A replica that does not answer PING is left out until it does; reads go \
            to another replica meanwhile.

            The file of --config is looked at once a second; what it says is followed without dropping a connection. SIGTERM \
            and SIGINT answer what was received, then stop.
            """
    )

    @Option(help: ArgumentHelp("Who serves which users; see deploy/cluster.yaml.", valueName: "file.yaml"))
    var config: String
    @Option(help: "Address to bind; any but loopback needs --password-file.") var host = "127.0.0.1"
    @Option(help: "Port; 0 takes a free one.") var port = 7600
    @Option(help: "Event loops. (default: one per core)") var threads: Int?
    @Option(help: ArgumentHelp("File whose first line is the clients' password.", valueName: "file"))
    var passwordFile: String?
    @Option(help: ArgumentHelp("The same of the shards. (default: that of the clients)", valueName: "file"))
    var shardPasswordFile: String?
    @Option(help: "Connections served at once.") var maxConnections = 10_000
    @Option(help: "Seconds of silence after which a connection is closed; 0: never.") var idleTimeout = 0
    @Option(
        help: ArgumentHelp(
            "Seconds from SIGTERM on in which READY says that the router ends and everything else is as before: for balancers "
                + "that need time to notice. A second signal ends them early.",
            valueName: "seconds"
        )
    )
    var drainPause = 0

    func validate() throws {
        guard (0...65_535).contains(self.port) else { throw ValidationError("--port is 0 to 65535, got \(self.port)") }
        guard self.idleTimeout >= 0 else { throw ValidationError("--idle-timeout is not negative") }
        guard (0...3_600).contains(self.drainPause) else {
            throw ValidationError("--drain-pause is 0 to 3600 seconds, got \(self.drainPause)")
        }
    }

    func run() async throws {
        LoggingSystem.bootstrap { BackgroundLogHandler(label: $0) }
        defer { LogWriter.shared.flush() }
        let logger = Logger(label: "annex")
        let file = try TopologyFile(self.config)
        var configuration = ServerConfiguration()
        configuration.host = self.host
        configuration.port = self.port
        configuration.threads = self.threads ?? ProcessInfo.processInfo.activeProcessorCount
        configuration.maximumConnections = self.maxConnections
        configuration.idleTimeout = .seconds(self.idleTimeout)
        configuration.version = ProductVersion.text
        let password = try self.passwordFile.map { try Password.read($0) }
        configuration.passwordHash = password.map { PasswordHash(password: $0) }
        try configuration.validate()
        let stale = TopologyAlarm()
        let shared = RouterShared(
            topology: file.topology,
            settings: try RouterOptions.settings(file.router, at: self.config),
            password: try self.shardPasswordFile.map { try Password.read($0) } ?? password,
            logger: logger,
            onStale: { stale.raise(logger) }
        )
        let watch = TopologyWatch(self.config, first: file.topology, logger) { changed in
            guard try RouterOptions.settings(changed.router, at: "router") == shared.settings else {
                throw AnnexError(.usage, "what is under 'router' changes when the router starts again", at: "router")
            }
            shared.change(to: changed.topology)
        }
        defer { watch.stop() }
        try await self.serve(shared, configuration, watch, logger)
    }

    private func serve(
        _ shared: RouterShared,
        _ configuration: ServerConfiguration,
        _ watch: TopologyWatch,
        _ logger: Logger
    ) async throws {
        let stop = StopSignals()
        // To a cluster client the router is the one node that has all slots.
        let itself = ClusterTopology.Address(host: "", port: self.port)
        let alone = ClusterTopology(
            epoch: 1,
            shards: [.init(name: "router", slots: .all, replicas: [itself])]
        )
        let server = try LineServer(
            configuration: configuration,
            makeHandler: { index, loop in RouterHandler(shared, index: index, loop: loop) },
            info: { RouterInfo.sections(shared) },
            cluster: self.port == 0 ? nil : ClusterView(ClusterView.Snapshot(topology: alone, own: itself)),
            logger: logger
        )
        stop.servingBegins()
        let address = try await server.start()
        logger.info(
            "Routing",
            metadata: [
                "address": "\(address.ipAddress ?? configuration.host):\(address.port ?? configuration.port)",
                "shards": "\(shared.topology.shards.count)", "replicas": "\(shared.topology.addresses.count)",
            ]
        )
        let signal = await stop.wait()
        if self.drainPause > 0 {
            logger.info("Leaving", metadata: ["signal": "\(signal)", "pause_seconds": "\(self.drainPause)"])
            server.leave()
            await stop.wait(atMost: .seconds(self.drainPause))
        }
        logger.info("Draining", metadata: ["signal": "\(signal)"])
        // Loops that are gone follow no file.
        watch.stop()
        await server.shutdown(grace: .seconds(4))
        logger.info("Stopped")
    }
}

/// Says once a minute that shards and this router disagree about who serves whom.
private final class TopologyAlarm: Sendable {
    private let last = LockedTime()

    func raise(_ logger: Logger) {
        guard self.last.passed(.seconds(60)) else { return }
        logger.warning("A shard answered MOVED: its topology is another one than this router's; compare the files")
    }
}
