import AnnexCore
import AnnexEngine
import AnnexLinearAlgebra
import AnnexServer
import AnnexShard
import AnnexStore
import AnnexTestSupport
import AnnexVersionSupport
import AnnexWire
import Dispatch
import Glibc
import Logging
import NIOCore
import Synchronization

/// What a table of commands is asked of: a server with sockets, loops, limits and a handler as in `annctl serve`, over four items
/// whose scores anybody can work out.
///
/// `i0` = (1, 0), `i1` = (0, 1), `i2` = (2, 0), `i3` = (0, −2); `u0` = (1, 0) and `u1` = (1, 2) as a trainer left them; `u2` took
/// `i2` three times. ALS with λ = 3, α = 1: YᵀY + λI = 8I, so that the solved vectors are fractions of powers of two.
struct Scene: Sendable {
    var kind = "Flat"
    var metric = Metric.ip
    var foldsIn = true
    var keepsState = false
    /// A second index of the same rows is served beside it.
    var isDouble = false
    var password: String?
    /// Of two shards, this being the first.
    var isShard = false
    /// Asked before each table in RESP3; not where the table itself chooses the protocol.
    var greets = true

    static let rows: [String: [Float]] = [
        "i0": [1, 0], "i1": [0, 1], "i2": [2, 0], "i3": [0, -2],
        // 3 · 2 / (8 + (3 − 1) · 4) = 6 / 16
        "u0": [1, 0], "u1": [1, 2], "u2": [0.375, 0],
    ]

    func version(_ name: String, _ version: String = "v1") throws -> SmallVersion {
        let history = [HistoryEntry(ordinal: 2, weight: 3)]
        return try SmallVersion(
            name: name,
            version: version,
            items: 4,
            users: 3,
            dimension: 2,
            kind: self.kind,
            metric: self.metric,
            foldIn: self.foldsIn ? .als(regularization: 3, alpha: 1) : nil,
            histories: self.foldsIn ? ["u2": history] : nil
        ) { Self.rows[$0] ?? [0, 0] }
    }
}

/// A scene that is served, until `stop`.
final class CommandServer: Sendable {
    let port: Int
    private let server: LineServer
    private let state: StateStore?
    /// Folders of what is served: they are removed with it.
    private let versions: [String: SmallVersion]
    private let folder: TemporaryFolder

    init(_ scene: Scene) async throws {
        let folder = try TemporaryFolder()
        let state = scene.keepsState ? try StateStore(folder.file("shop")) : nil
        var versions = ["shop/v1": try scene.version("shop"), "shop/v2": try scene.version("shop", "v2")]
        if scene.isDouble { versions["twin/v1"] = try scene.version("twin") }
        let made = versions
        let names = (scene.isDouble ? ["shop", "twin"] : ["shop"]).compactMap { EntryName($0) }
        let engine = try Engine(indexes: names) { index, version throws(AnnexError) in
            guard let found = made["\(index)/\(version?.value ?? "v1")"] else {
                throw AnnexError(.notFound, "no version '\(version?.value ?? "")'")
            }
            return try ServedVersion(loading: found.description, state: index.value == "shop" ? state : nil)
        }
        let handlers = Mutex(try (0..<2).map { _ in try ShardHandler(engine: engine) })
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        self.server = try LineServer(
            configuration: Self.configuration(scene),
            makeHandler: { _, _ in handlers.withLock { $0.removeLast() } },
            info: { [InfoSection("Indexes", [("index_shop", VersionInfo.line(engine.versions[0], engine))])] },
            cluster: scene.isShard ? Self.cluster() : nil,
            logger: logger
        )
        self.port = try await self.server.start().port ?? 0
        (self.versions, self.state, self.folder) = (versions, state, folder)
    }

    private static func configuration(_ scene: Scene) -> ServerConfiguration {
        var configuration = ServerConfiguration()
        configuration.port = 0
        configuration.threads = 2
        configuration.authFailureDelay = .milliseconds(1)
        configuration.passwordHash = scene.password.map { PasswordHash(password: $0) }
        return configuration
    }

    private static func cluster() -> ClusterView {
        let (own, other) = (
            ClusterTopology.Address(host: "127.0.0.1", port: 7001),
            ClusterTopology.Address(host: "127.0.0.1", port: 7002)
        )
        let topology = ClusterTopology(
            epoch: 7,
            shards: [
                ClusterTopology.Shard(name: "a", slots: SlotSet([0...8191]), replicas: [own]),
                ClusterTopology.Shard(name: "b", slots: SlotSet([8192...16383]), replicas: [other]),
            ]
        )
        return ClusterView(ClusterView.Snapshot(topology: topology, own: own))
    }

    func stop() async {
        await self.server.shutdown(grace: .seconds(1))
        self.state?.close()
    }

    /// Runs `body`, which blocks, on a thread of its own instead of one of the few that run tasks.
    static func with(
        _ scene: Scene,
        _ body: @escaping @Sendable (CommandServer) throws -> Void
    ) async throws {
        let server = try await CommandServer(scene)
        let result = await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: Result { try body(server) }) }
        }
        await server.stop()
        try result.get()
    }
}

/// Sends a command and takes one reply apart into its lines, by the framing alone. Gives up after ten seconds.
final class RawClient {
    typealias Failure = PlainSocket.Failure

    private let socket: PlainSocket
    private var received: [UInt8] = []

    init(port: Int) throws { self.socket = try PlainSocket(port: port) }

    func send(_ words: [[UInt8]]) throws {
        var bytes = Array("*\(words.count)\r\n".utf8)
        for word in words { bytes += Array("$\(word.count)\r\n".utf8) + word + [13, 10] }
        try self.socket.send(bytes)
    }

    /// The lines of the next reply, those of its elements included; a string of n bytes is one.
    func reply() throws -> [String] {
        let line = Bytes.text(try self.bytes(upTo: nil))
        let count = Int(line.dropFirst())
        switch line.first {
        case "$", "=":
            guard let count, count >= 0 else { return [line] }
            let text = Bytes.text(try self.bytes(upTo: count))
            return [line, text]
        case "*", "~", ">", "%":
            var lines = [line]
            for _ in 0..<max(0, (count ?? 0) * (line.first == "%" ? 2 : 1)) { lines += try self.reply() }
            return lines
        case "+", "-", ":", ",", "_", "#", "(": return [line]
        default: throw Failure(message: "no reply begins like this: \(line)")
        }
    }

    /// Whether the server closes, with nothing more said.
    func isAtEnd() throws -> Bool {
        try self.received.isEmpty && self.socket.receive() == nil
    }

    /// So many bytes, or the next line; without its end.
    private func bytes(upTo count: Int?) throws -> [UInt8] {
        while true {
            let end = count ?? self.received.firstIndex(of: 13)
            if let end, self.received.count >= end + 2 {
                guard self.received[end] == 13, self.received[end + 1] == 10 else {
                    throw Failure(message: "no line end behind \(Bytes.text(self.received.prefix(end)))")
                }
                defer { self.received.removeFirst(end + 2) }
                return Array(self.received.prefix(end))
            }
            guard let more = try self.socket.receive() else { throw Failure(message: "closed") }
            self.received += more
        }
    }
}
