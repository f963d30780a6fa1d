import AnnexNetwork
import AnnexNode
import ArgumentParser
import Logging

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
        let node = try RouterNode(try self.settings(), logger: logger)
        let stop = StopSignals()
        stop.servingBegins()
        try await node.start()
        let signal = await stop.wait()
        if self.drainPause > 0 {
            logger.info("Leaving", metadata: ["signal": "\(signal)", "pause_seconds": "\(self.drainPause)"])
            node.leave()
            await stop.wait(atMost: .seconds(self.drainPause))
        }
        logger.info("Draining", metadata: ["signal": "\(signal)"])
        await node.stop()
        logger.info("Stopped")
    }

    private func settings() throws -> RouterNodeSettings {
        var settings = RouterNodeSettings()
        settings.topologyFile = self.config
        settings.server.host = self.host
        settings.server.port = self.port
        if let threads { settings.server.threads = threads }
        settings.server.maximumConnections = self.maxConnections
        settings.server.idleTimeout = .seconds(self.idleTimeout)
        settings.server.version = ProductVersion.text
        settings.password = try self.passwordFile.map { try Password.read($0) }
        settings.shardPassword = try self.shardPasswordFile.map { try Password.read($0) }
        return settings
    }
}
