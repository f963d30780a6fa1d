import AnnexCore
import AnnexNode
import AnnexServer
import Foundation
import Logging
import NIOCore
import Synchronization
import Testing

/// Keeps what a node logs.
final class LogLines: Sendable {
    private let kept = Mutex<[String]>([])

    /// `message name=value …`, oldest first.
    var lines: [String] { self.kept.withLock { $0 } }

    func contains(_ text: String) -> Bool { self.lines.contains { $0.contains(text) } }

    var logger: Logger {
        var logger = Logger(label: "test") { _ in Handler(lines: self) }
        logger.logLevel = .debug
        return logger
    }

    private struct Handler: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.debug

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let pairs = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
            self.lines.kept.withLock { $0.append(event.message.description + pairs.joined()) }
        }
    }
}

/// Polls until something holds, for at most 60 s.
func eventually(_ what: String, _ holds: () throws -> Bool) async throws {
    for _ in 0..<12_000 {
        if try holds() { return }
        try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("not within 60 s: \(what)")
}

/// Two loops on a free port, and quick looks at what changes on the disk.
func shardSettings(_ index: BuiltIndex, state: String? = nil) -> ShardSettings {
    var settings = ShardSettings()
    settings.server.port = 0
    settings.server.threads = 2
    settings.folders = [index.path]
    settings.stateFolder = state
    settings.watchSeconds = 0.01
    settings.topologySeconds = 0.01
    return settings
}

extension ShardNode {
    /// The port that it listens on.
    func startedPort() async throws -> Int { try #require(try await self.start().port) }
}
