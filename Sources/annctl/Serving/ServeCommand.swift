import AnnexCore
import AnnexNode
import AnnexServer
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
    @OptionGroup var flags: ShardFlags

    func validate() throws {
        guard !self.folders.isEmpty else { throw ValidationError("Which index? Give indexes/NAME") }
    }

    func run() async throws {
        LoggingSystem.bootstrap { BackgroundLogHandler(label: $0) }
        defer { LogWriter.shared.flush() }
        let logger = Logger(label: "annex")
        let settings = try self.settings()
        try settings.validate()
        if let log = self.flags.log, LogPassword.isExposed(log) { logger.warning("\(LogPassword.warning)") }
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
            logger.warning("Draining took too long and was cut off; nothing that was acknowledged is lost")
            LogWriter.shared.flush(within: 0.2)
            node.closeStates()
            _exit(0)
        }
    }

    private func settings() throws -> ShardSettings {
        var settings = ShardSettings()
        settings.pageCheck = .elsewhere { try StatePreflight.checkPages($0) }
        settings.folders = self.folders
        settings.server.version = ProductVersion.text
        if let config { try SettingsFile.apply(config, to: &settings) }
        try self.flags.given.apply(to: &settings, \.origins)
        return settings
    }
}
