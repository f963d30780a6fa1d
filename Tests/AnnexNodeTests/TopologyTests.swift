import AnnexBuild
import AnnexCore
import AnnexNode
import AnnexServer
import AnnexTestSupport
import Foundation
import NIOCore
import Synchronization
import Testing

/// A topology's file as it changes, watched and followed by a router.
@Suite struct TopologyTests {
    /// Looks at a file as often as a test says.
    private final class Watched: Sendable {
        let folder: TemporaryFolder
        let path: String
        let watch: TopologyWatch
        private let adopted = Mutex<[Int]>([])

        init(_ text: String) throws {
            self.folder = try TemporaryFolder()
            self.path = self.folder.file("cluster.yaml")
            try text.write(toFile: self.path, atomically: true, encoding: .utf8)
            let file = try TopologyFile(self.path)
            self.watch = TopologyWatch(self.path, first: file, every: 3_600, LogLines().logger)
        }

        var epochs: [Int] { self.adopted.withLock { $0 } }

        /// As INFO has it.
        var refused: String { self.watch.section.lines.first { $0.name == "topology_refused" }?.value ?? "missing" }

        func write(_ text: String) throws {
            try text.write(toFile: self.path, atomically: true, encoding: .utf8)
        }

        func look() throws(AnnexError) {
            _ = try self.watch.look { file throws(AnnexError) in
                self.adopted.withLock { $0.append(file.topology.epoch) }
            }
        }
    }

    private static func text(epoch: Int, replicas: String = "127.0.0.1:1") -> String {
        "epoch: \(epoch)\nshards: [{slots: 0-16383, replicas: [\(replicas)]}]\n"
    }

    @Test func aChangeIsAdoptedOnceTwoLooksSawIt() throws {
        let watched = try Watched(Self.text(epoch: 1))
        try watched.look()
        try watched.write(Self.text(epoch: 2, replicas: "127.0.0.1:2"))
        try watched.look()
        #expect(watched.epochs == [], "it may be written at this moment")
        try watched.write(Self.text(epoch: 3, replicas: "127.0.0.1:3"))
        try watched.look()
        #expect(watched.epochs == [])
        for _ in 0..<3 { try watched.look() }
        #expect(watched.epochs == [3])
    }

    @Test(arguments: [1, 2]) func aStaleEpochIsRefusedOnce(_ epoch: Int) throws {
        let watched = try Watched(Self.text(epoch: 2))
        try watched.write(Self.text(epoch: epoch, replicas: "127.0.0.1:2"))
        try watched.look()
        let refused = #expect(throws: AnnexError.self) { try watched.look() }
        #expect(refused?.message == "epoch is \(epoch) and was 2")
        try watched.look()
        #expect(watched.epochs == [])
        // As the error advises.
        try watched.write(Self.text(epoch: 3, replicas: "127.0.0.1:2"))
        for _ in 0..<2 { try watched.look() }
        #expect(watched.epochs == [3])
    }

    @Test(arguments: [
        ("router: {deadline-ms: 0}", "'deadline-ms' is '0'"), ("router: {deadline-mS: 5}", "unknown key 'deadline-mS'"),
        ("router: {ping-ms: 1:30}", "'ping-ms' is '1:30'"), ("router: [5]", "'router' has"),
        ("routers: {}", "unknown key 'routers'"),
    ])
    func aPartThatIsWrongIsRefusedAsAtStart(_ lines: String, _ why: String) throws {
        let watched = try Watched(Self.text(epoch: 1))
        // The rest is as before: only that part is news.
        try watched.write(Self.text(epoch: 1) + lines)
        let atStart = #expect(throws: AnnexError.self) { _ = try TopologyFile(watched.path) }
        try watched.look()
        let refused = #expect(throws: AnnexError.self) { try watched.look() }
        #expect(refused == atStart && refused?.message.hasPrefix(why) == true, "\(refused as Any)")
        #expect(watched.refused.contains(why))
        try watched.look()
        try watched.write(Self.text(epoch: 1))
        for _ in 0..<2 { try watched.look() }
        #expect(watched.epochs == [] && watched.refused.isEmpty)
    }

    @Test(arguments: ["0x10", "010", "1:30", "+5", "1_000", "x"]) func anEpochIsWrittenInPlainDigits(_ epoch: String)
        throws
    {
        let folder = try TemporaryFolder()
        let path = folder.file("cluster.yaml")
        try "epoch: \(epoch)\nshards: [{slots: 0-16383, replicas: [127.0.0.1:1]}]\n"
            .write(toFile: path, atomically: true, encoding: .utf8)
        let refused = #expect(throws: AnnexError.self) { _ = try TopologyFile(path) }
        #expect(refused?.message == "'epoch' is no whole number in plain digits, as 90")
        #expect(refused?.location == path + ":1")
    }

    @Test func aLargeFileIsRefusedAtStartAndLater() throws {
        let watched = try Watched(Self.text(epoch: 1))
        let filler = String(repeating: "# \n", count: 350_000)
        try watched.write(Self.text(epoch: 2, replicas: "127.0.0.1:2") + filler)
        let atStart = #expect(throws: AnnexError.self) { _ = try TopologyFile(watched.path) }
        #expect(atStart?.message == "the topology has more than 1 MiB")
        try watched.look()
        let later = #expect(throws: AnnexError.self) { try watched.look() }
        #expect(later == atStart && watched.epochs == [])
    }

    @Test func aFileThatGoesAwayIsTold() throws {
        let watched = try Watched(Self.text(epoch: 1))
        try FileManager.default.removeItem(atPath: watched.path)
        try watched.look()
        let refused = #expect(throws: AnnexError.self) { try watched.look() }
        #expect(refused?.message == "cannot read the topology" && refused?.location == watched.path)
        try watched.look()
        try watched.write(Self.text(epoch: 2, replicas: "127.0.0.1:2"))
        for _ in 0..<2 { try watched.look() }
        #expect(watched.epochs == [2] && watched.refused.isEmpty)
    }

    @Test func nothingIsAdoptedAfterTheStop() throws {
        let watched = try Watched(Self.text(epoch: 1))
        try watched.write(Self.text(epoch: 2, replicas: "127.0.0.1:2"))
        try watched.look()
        watched.watch.stop()
        for _ in 0..<3 { try watched.look() }
        #expect(watched.epochs == [])
    }

    /// A file that changes between being read and being watched is news to the watch.
    @Test func whatChangedBeforeTheWatchBeganIsSeen() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("cluster.yaml")
        try Self.text(epoch: 1).write(toFile: path, atomically: true, encoding: .utf8)
        let file = try TopologyFile(path)
        try Self.text(epoch: 2, replicas: "127.0.0.1:2").write(toFile: path, atomically: true, encoding: .utf8)
        let watch = TopologyWatch(path, first: file, every: 3_600, LogLines().logger)
        let none = try watch.look { _ in }
        let adopted = try watch.look { _ in }
        #expect(none == nil && adopted?.epoch == 2)
    }

    @Test func aRouterFollowsItsFile() async throws {
        let indexes = try [BuiltIndex(), BuiltIndex()]
        var shards: [ShardNode] = []
        var ports: [Int] = []
        for (number, index) in indexes.enumerated() {
            try index.build(seed: UInt64(number + 1))
            let shard = try await ShardNode.open(shardSettings(index), logger: LogLines().logger)
            ports.append(try await shard.startedPort())
            shards.append(shard)
        }
        let folder = try TemporaryFolder()
        func write(epoch: Int, _ shards: [(slots: String, port: Int)]) throws {
            let lines = shards.map { "  - {slots: \($0.slots), replicas: [127.0.0.1:\($0.port)]}\n" }
            // Reads that wait for a busy machine are no fault of the router's.
            try ("epoch: \(epoch)\nshards:\n" + lines.joined() + "router: {deadline-ms: 20000}\n")
                .write(toFile: folder.file("cluster.yaml"), atomically: true, encoding: .utf8)
        }
        try write(epoch: 1, [("0-16383", ports[0])])
        let lines = LogLines()
        var settings = RouterNodeSettings()
        settings.server.port = 0
        settings.server.threads = 1
        settings.topologyFile = folder.file("cluster.yaml")
        settings.topologySeconds = 0.01
        let router = try RouterNode(settings, logger: lines.logger)
        let client = try PlainClient(port: try #require(try await router.start().port))
        /// By which version each user is answered: 1 or 2.
        func answering() throws -> [Int] {
            try (0..<BuiltIndex.users).map { user in
                let reply = try client.ask("TOPK", "u\(user)", "5")
                let seed = (1...2).first { BuiltIndex.best("u\(user)", 5, seed: UInt64($0)) == reply.texts }
                return try #require(seed, "\(reply)")
            }
        }
        try await eventually("the shard is taken for well") {
            if case .list = try client.ask("TOPK", "u0", "5") { true } else { false }
        }
        #expect(try answering() == Array(repeating: 1, count: BuiltIndex.users))
        try write(epoch: 2, [("0-8191", ports[0]), ("8192-16383", ports[1])])
        try await eventually("the second topology is adopted") { try client.info("router", "router_epoch") == "2" }
        try await eventually("the second shard is taken for well") {
            if case .list = try client.ask("MTOPK", "2", "u0", "u1", "5") { true } else { false }
        }
        let both = try answering()
        #expect(Set(both) == [1, 2])
        try write(epoch: 1, [("0-16383", ports[1])])
        try await eventually("the stale topology is refused") { lines.contains("epoch is 1 and was 2") }
        #expect(try client.info("router", "router_epoch") == "2")
        #expect(try answering() == both)
        #expect(try client.info("topology", "topology_refused")?.contains("epoch is 1 and was 2") == true)
        let wrong =
            "shards: [{slots: 0-16383, replicas: [127.0.0.1:\(ports[0])]}]\nepoch: 3\nrouter: {deadline-ms: 20001}\n"
        try wrong.write(toFile: folder.file("cluster.yaml"), atomically: true, encoding: .utf8)
        try await eventually("another router's part is refused") {
            lines.contains("is not what the router started with")
        }
        #expect(try client.info("router", "router_epoch") == "2")
        try write(epoch: 3, [("0-8191", ports[0]), ("8192-16383", ports[1])])
        try await eventually("all is well again") { try client.info("topology", "topology_refused") == "" }
        await router.stop()
        #expect(try client.isAtEnd())
        for shard in shards { await shard.stop() }
        print("aRouterFollowsItsFile: 1 stale topology injected, refused")
    }
}
