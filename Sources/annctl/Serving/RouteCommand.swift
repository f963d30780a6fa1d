import AnnexNode
import AnnexServer
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

    @OptionGroup var flags: RouterFlags

    func run() async throws {
        LoggingSystem.bootstrap { BackgroundLogHandler(label: $0) }
        defer { LogWriter.shared.flush() }
        let logger = Logger(label: "annex")
        let settings = try self.settings()
        let node = try RouterNode(settings, logger: logger)
        let stop = StopSignals()
        stop.servingBegins()
        try await node.start()
        let signal = await stop.wait()
        if settings.drainPauseSeconds > 0 {
            logger.info("Leaving", metadata: ["signal": "\(signal)", "pause_seconds": "\(settings.drainPauseSeconds)"])
            node.leave()
            await stop.wait(atMost: .seconds(settings.drainPauseSeconds))
        }
        logger.info("Draining", metadata: ["signal": "\(signal)"])
        await node.stop()
        logger.info("Stopped")
    }

    private func settings() throws -> RouterNodeSettings {
        var settings = RouterNodeSettings()
        settings.server.version = ProductVersion.text
        try self.flags.given.apply(to: &settings)
        return settings
    }
}
