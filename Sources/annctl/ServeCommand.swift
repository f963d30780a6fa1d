import AnnexCore
import AnnexLog
import AnnexNetwork
import AnnexNode
import AnnexStore
import ArgumentParser
import Dispatch
import Foundation
import Glibc
import Logging

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve indexes over TCP: RESP2, RESP3 and plain lines.",
        discussion: """
            Every file is verified before it is mapped; a damaged version is not served. SIGTERM and SIGINT answer what was \
            received, then stop. Binds 127.0.0.1; any other address needs --password-file.

            With --state users change: EVENT, EVENT.DEL and FORGET are answered when they are on the disk, one flush for all \
            who wait, and survive a crash and the loss of power. Without it nothing is written anywhere.

            A version that `annctl build` or `rollback` makes current is noticed, verified and loaded aside, and served from \
            then on; one that is refused changes nothing, and INFO says why.
            """
    )

    @Argument(help: ArgumentHelp("Folders of indexes.", valueName: "indexes/NAME")) var folders: [String]
    @Option(help: ArgumentHelp("Settings; flags beat it. See deploy/annex.yaml.", valueName: "file.yaml")) var config:
        String?
    @Option(help: "Address to bind. (default: 127.0.0.1)") var host: String?
    @Option(help: "Port; 0 takes a free one. (default: 7700)") var port: Int?
    @Option(help: "What searches: annex, or faiss alone as a reference.") var engine = SearchEngine.annex
    @Option(help: "Event loops. (default: one per core)") var threads: Int?
    @Option(help: ArgumentHelp("File whose first line is the password.", valueName: "file")) var passwordFile: String?
    @Option(help: "Connections served at once. (default: 10000)") var maxConnections: Int?
    @Option(help: "Seconds of silence after which a connection is closed; 0: never. (default: 0)") var idleTimeout: Int?

    @Option(help: ArgumentHelp("Keep events in DIR/NAME, for each index.", valueName: "dir")) var state: String?
    @Option(
        help: ArgumentHelp(
            "commit: OK means that the event is on the disk, and that every later read counts it. interval:MS: OK means "
                + "that it is in memory; it is written and counted at most MS milliseconds later, and a crash or the loss of "
                + "power loses what came meanwhile. EVENT.DEL and FORGET are on the disk in either case. (default: commit)",
            valueName: "commit|interval:MS"
        )
    )
    var durability: String?
    @Option(
        help: ArgumentHelp(
            "Changes go through this Redis or Valkey (7.0 or newer), which all replicas of an index share: "
                + "redis://HOST:PORT[/DATABASE][?prefix=NAME]. Needs --state. See docs/log.md.",
            valueName: "url"
        )
    )
    var log: String?
    @Option(help: ArgumentHelp("File whose first line is the log's password.", valueName: "file"))
    var logPasswordFile: String?
    @Option(
        help: ArgumentHelp(
            "When EVENT is answered. replica: this replica has it on its disk. log: the log has it. EVENT.DEL and FORGET "
                + "are answered as with replica, and --durability interval:MS delays that. (default: replica)",
            valueName: "replica|log"
        )
    )
    var ack: LogAcknowledgement?
    @Option(
        help: ArgumentHelp(
            "Reads of users are refused (MASTERDOWN) where this replica has not known for so long that it has all the log "
                + "has; 0: never. (default: 10)",
            valueName: "seconds"
        )
    )
    var maxLag: Double?
    @Option(help: "What unknown users get: error, or popular: the items with the most events. (default: error)")
    var cold: ColdStart?
    @Option(help: ArgumentHelp("For --cold popular: an event this old counts half.", valueName: "days"))
    var coldHalfLife: Double?
    @Option(help: ArgumentHelp("How often to look for a new version; 0: never. (default: 1)", valueName: "seconds"))
    var watch: Double?

    @Option(help: ArgumentHelp("Who serves which users; see deploy/cluster.yaml.", valueName: "file.yaml"))
    var cluster: String?
    @Option(help: ArgumentHelp("This shard's slots, as in the file of --cluster.", valueName: "a-b,…")) var slots:
        String?
    @Option(
        help: ArgumentHelp(
            "This server's address in the file of --cluster. (default: --host and --port)",
            valueName: "host:port"
        )
    ) var announce: String?

    func validate() throws {
        guard !self.folders.isEmpty else { throw ValidationError("Which index? Give indexes/NAME") }
        if let port {
            guard (0...65_535).contains(port) else { throw ValidationError("--port is 0 to 65535, got \(port)") }
        }
        guard self.cluster != nil || (self.slots == nil && self.announce == nil) else {
            throw ValidationError(
                "--slots and --announce say what this server is in a cluster: give --cluster FILE too"
            )
        }
        if let idleTimeout { guard idleTimeout >= 0 else { throw ValidationError("--idle-timeout is not negative") } }
    }

    func run() async throws {
        LoggingSystem.bootstrap { BackgroundLogHandler(label: $0) }
        defer { LogWriter.shared.flush() }
        let logger = Logger(label: "annex")
        let settings = try self.settings()
        try settings.validate()
        if let log, LogPassword.isExposed(log) { logger.warning("\(LogPassword.warning)") }
        let stop = StopSignals()
        let node = try await ShardNode.open(settings, logger: logger)
        stop.servingBegins()
        try await node.start()
        let signal = await stop.wait()
        logger.info("Draining", metadata: ["signal": "\(signal)"])
        Self.endAnyway(node, logger)
        await node.stop()
        logger.info("Stopped")
    }

    /// Ends the process where draining takes too long, as it does where a version is being loaded; nothing that was
    /// acknowledged is lost by that.
    private static func endAnyway(_ node: ShardNode, _ logger: Logger) {
        DispatchQueue.global().asyncAfter(deadline: .now() + 4.7) {
            logger.warning("Cut off: draining took too long")
            LogWriter.shared.flush(within: 0.2)
            node.closeStates()
            _exit(0)
        }
    }

    private func settings() throws -> ShardSettings {
        var settings = ShardSettings()
        settings.pageCheck = .elsewhere { try StatePreflight.checkPages($0) }
        settings.folders = self.folders
        settings.searching = self.engine
        settings.server.version = ProductVersion.text
        if let config { try ServeSettings.apply(config, to: &settings) }
        if let host { settings.server.host = host }
        if let port { settings.server.port = port }
        if let threads { settings.server.threads = threads }
        if let maxConnections { settings.server.maximumConnections = maxConnections }
        if let idleTimeout { settings.server.idleTimeout = .seconds(idleTimeout) }
        if let passwordFile { settings.password = try Password.read(passwordFile) }
        if let state { settings.stateFolder = state }
        if let durability { try settings.setDurability(durability) }
        if let log { settings.log = log }
        if let logPasswordFile { settings.logPassword = try Password.read(logPasswordFile) }
        if let ack { settings.acknowledgement = ack }
        if let maxLag { settings.maximumLagSeconds = maxLag }
        if let cold { settings.cold = cold }
        if let coldHalfLife { settings.coldHalfLifeDays = coldHalfLife }
        if let watch { settings.watchSeconds = watch }
        settings.topologyFile = self.cluster
        if let announce {
            guard let address = ClusterTopology.Address(parsing: announce) else {
                throw AnnexError(.usage, "--announce is HOST:PORT, got '\(Printable.escape(announce))'")
            }
            settings.announced = address
        }
        if let slots {
            guard let set = SlotSet(parsing: slots) else {
                throw AnnexError(.usage, "--slots is like 0-8191 or 0-100,200, got '\(Printable.escape(slots))'")
            }
            settings.slots = set
        }
        return settings
    }
}

extension SearchEngine: ExpressibleByArgument {}
extension ColdStart: ExpressibleByArgument {}
extension LogAcknowledgement: ExpressibleByArgument {}
