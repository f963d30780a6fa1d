import AnnexBuild
import AnnexCore
import AnnexEngine
import AnnexLog
import AnnexServer
import AnnexShard
import AnnexStore
import AnnexWire
import ArgumentParser
import Dispatch
import Foundation
import Glibc
import Logging
import NIOCore
import Synchronization

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
        let (configuration, live) = try self.settings()
        try configuration.validate()
        try live.validate()
        if let log, LogPassword.isExposed(log) { logger.warning("\(LogPassword.warning)") }
        let membership = try self.membership(configuration, live.password, logger)
        let stop = StopSignals()
        var folders: [EntryName: String] = [:]
        var names: [EntryName] = []
        for folder in self.folders {
            let name = try IndexFolder.name(of: folder)
            guard folders.updateValue(folder, forKey: name) == nil else {
                throw AnnexError(.usage, "two indexes are named '\(name)'", at: folder)
            }
            names.append(name)
        }
        let states = try live.openStates(names, logger)
        let logs = try live.followLogs(states, slots: membership?.slots ?? .all, logger)
        let loader = IndexLoader(
            folders: folders,
            states: states,
            logs: logs?.replicas ?? [:],
            searching: self.engine,
            decay: live.cold == .popular ? PopularItems.Decay(halfLifeDays: live.coldHalfLifeDays) : nil,
            logger: logger
        )
        let engine = try Engine(indexes: names) { index, version in
            try LowPriorityThread.run { try loader.load(index, version) }
        }
        let watch = live.watchSeconds > 0 ? VersionWatch(folders, engine, every: live.watchSeconds, logger) : nil
        let popularity = loader.decay.map { PopularityTimer(engine, $0, logger) }
        watch?.start()
        defer {
            watch?.stop()
            popularity?.stop()
            logs?.stop()
            for state in states.values { state.close() }
            logs?.end()
        }
        logs?.start(patience: 2)
        try await self.serve(engine, Array(states.values), configuration, membership?.view, stop, logger)
        await membership?.stop()
    }

    private func serve(
        _ engine: Engine,
        _ states: [StateStore],
        _ configuration: ServerConfiguration,
        _ cluster: ClusterView?,
        _ stop: StopSignals,
        _ logger: Logger
    ) async throws {
        // Made before anything listens, so that what can fail has failed.
        let handlers = HandlerShelf(try (0..<configuration.threads).map { _ in try ShardHandler(engine: engine) })
        let server = try LineServer(
            configuration: configuration,
            makeHandler: { loop, eventLoop in
                let handler = handlers[loop]
                let bound = NIOLoopBound(handler, eventLoop: eventLoop)
                // So that an idle loop lets go of a version too.
                engine.onSwap { eventLoop.execute { bound.value.refresh() } }
                return handler
            },
            info: {
                [
                    InfoSection(
                        "Indexes",
                        engine.versions.map { ("index_\($0.description.index)", VersionInfo.line($0, engine)) }
                    ),
                    InfoSection(
                        "Users",
                        engine.versions.map { ("users_\($0.description.index)", VersionInfo.usersLine($0)) }
                    ),
                    InfoSection(
                        "State",
                        engine.versions.compactMap { version in
                            VersionInfo.stateLine(version).map { ("state_\(version.description.index)", $0) }
                        }
                    ),
                    InfoSection(
                        "Log",
                        engine.versions.compactMap { version in
                            VersionInfo.logLine(version).map { ("log_\(version.description.index)", $0) }
                        }
                    ),
                ]
            },
            cluster: cluster,
            keyCount: { engine.versions.count },
            logger: logger
        )
        stop.servingBegins()
        let address: SocketAddress
        do { address = try await server.start() } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw AnnexError(
                .system,
                "the port is in use",
                at: "\(configuration.host):\(configuration.port)",
                hint: "Give another --port"
            )
        }
        logger.info(
            "Serving",
            metadata: ["address": "\(address.ipAddress ?? configuration.host):\(address.port ?? configuration.port)"]
        )
        let signal = await stop.wait()
        logger.info("Draining", metadata: ["signal": "\(signal)"])
        Self.endAnyway(states, logger)
        await server.shutdown(grace: .seconds(4))
        logger.info("Stopped")
    }

    private func membership(
        _ configuration: ServerConfiguration,
        _ password: String?,
        _ logger: Logger
    ) throws -> ClusterMembership? {
        guard let cluster else { return nil }
        var own = ClusterTopology.Address(host: configuration.host, port: configuration.port)
        if let announce {
            guard let address = ClusterTopology.Address(parsing: announce) else {
                throw AnnexError(.usage, "--announce is HOST:PORT, got '\(Printable.escape(announce))'")
            }
            own = address
        }
        var wanted: SlotSet?
        if let slots {
            guard let set = SlotSet(parsing: slots) else {
                throw AnnexError(.usage, "--slots is like 0-8191 or 0-100,200, got '\(Printable.escape(slots))'")
            }
            wanted = set
        }
        return try ClusterMembership(
            file: cluster,
            own: own,
            slots: wanted,
            password: password,
            logger: logger
        )
    }

    /// Ends the process where draining takes too long, as it does where a version is being loaded; nothing that was
    /// acknowledged is lost by that.
    private static func endAnyway(_ states: [StateStore], _ logger: Logger) {
        DispatchQueue.global().asyncAfter(deadline: .now() + 4.7) {
            logger.warning("Cut off: draining took too long")
            LogWriter.shared.flush(within: 0.2)
            for state in states { state.close() }
            _exit(0)
        }
    }

    private func settings() throws -> (ServerConfiguration, LiveSettings) {
        var configuration = ServerConfiguration()
        var live = LiveSettings()
        configuration.threads = ProcessInfo.processInfo.activeProcessorCount
        if let config { try ServeSettings.apply(config, to: &configuration, &live) }
        if let host { configuration.host = host }
        if let port { configuration.port = port }
        if let threads { configuration.threads = threads }
        if let maxConnections { configuration.maximumConnections = maxConnections }
        if let idleTimeout { configuration.idleTimeout = .seconds(idleTimeout) }
        configuration.version = ProductVersion.text
        if let passwordFile { live.password = try Password.read(passwordFile) }
        configuration.passwordHash = live.password.map { PasswordHash(password: $0) }
        if let state { live.stateFolder = state }
        if let durability { try live.setDurability(durability) }
        if let log { live.log = log }
        if let logPasswordFile { live.logPassword = try Password.read(logPasswordFile) }
        if let ack { live.acknowledgement = ack }
        if let maxLag { live.maximumLagSeconds = maxLag }
        if let cold { live.cold = cold }
        if let coldHalfLife { live.coldHalfLifeDays = coldHalfLife }
        if let watch { live.watchSeconds = watch }
        return (configuration, live)
    }
}

/// Makes served versions of what lies on the disk.
private struct IndexLoader: Sendable {
    let folders: [EntryName: String]
    let states: [EntryName: StateStore]
    let logs: [EntryName: LogFollower]
    let searching: SearchEngine
    /// Nil where unknown users get an error.
    let decay: PopularItems.Decay?
    let logger: Logger

    func load(_ index: EntryName, _ version: EntryName?) throws -> ServedVersion {
        guard let folder = self.folders[index] else {
            throw AnnexError(.notFound, "no index '\(index)' is served")
        }
        let begin = DispatchTime.now().uptimeNanoseconds
        let verified = try Verifier.verify(indexFolder: folder, version: version)
        let served = try VersionLoading.load(
            verified,
            as: index,
            engine: self.searching,
            state: self.states[index],
            log: self.logs[index]
        )
        if let decay { try served.countPopular(decay) }
        self.logger.info(
            "Loaded",
            metadata: [
                "index": "\(index)", "version": "\(verified.version)", "items": "\(verified.manifest.items)",
                "users": "\(verified.manifest.users)", "recall": "\(verified.manifest.measured.reportedRecall)",
                "milliseconds": "\((DispatchTime.now().uptimeNanoseconds - begin) / 1_000_000)",
            ]
        )
        return served
    }
}

/// Handlers on their way to the event loops. Safe because each loop takes its own, once.
private struct HandlerShelf: @unchecked Sendable {
    private let handlers: [ShardHandler]
    init(_ handlers: [ShardHandler]) { self.handlers = handlers }
    subscript(loop: Int) -> ShardHandler { self.handlers[loop] }
}
