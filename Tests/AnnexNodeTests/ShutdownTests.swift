import AnnexCore
import AnnexNode
import AnnexServer
import AnnexTestSupport
import Foundation
import Testing

/// How a shard ends, and how the next one begins beside it.
@Suite struct ShutdownTests {
    private static let events = 500

    /// `EVENT` of four clients' own users, each of every item once.
    private static func events(of client: Int) -> [[String]] {
        (0..<Self.events).map { number in
            ["EVENT", "c\(client)-\(number / BuiltIndex.items)", "i\(number % BuiltIndex.items)"]
        }
    }

    @Test func everythingThatWasReceivedIsAnsweredAndKept() async throws {
        let index = try BuiltIndex()
        try index.build(seed: 1)
        let settings = shardSettings(index, state: index.folder.file("state"))
        let node = try await ShardNode.open(settings, logger: LogLines().logger)
        let port = try await node.startedPort()
        let clients = try (0..<4).map { _ in try PlainClient(port: port) }
        // The server has these connections: what they send from now on lies in its sockets when the stop begins.
        for client in clients { #expect(try client.ask("PING") == .text("PONG")) }
        for (number, client) in clients.enumerated() { try client.send(Self.events(of: number)) }
        await node.stop()
        var answered = 0
        for client in clients {
            for _ in 0..<Self.events { if try client.reply() == .text("OK") { answered += 1 } }
            #expect(try client.isAtEnd())
        }
        #expect(answered == clients.count * Self.events, "a state that closes before the server refuses some")
        let next = try await ShardNode.open(settings, logger: LogLines().logger)
        let reader = try PlainClient(port: try await next.startedPort())
        var kept = 0
        for client in clients.indices {
            let users = Set(Self.events(of: client).map { $0[1] })
            for user in users { kept += try reader.ask("SEEN", user).texts?.count ?? 0 }
        }
        #expect(kept == answered)
        await next.stop()
        print("everythingThatWasReceivedIsAnsweredAndKept: \(answered) events answered in the stop, \(kept) kept")
    }

    @Test func partsEndInTheOrderInWhichTheyNeedOneAnother() async throws {
        let index = try BuiltIndex()
        try index.build(seed: 1)
        let topology = index.folder.file("cluster.yaml")
        try "shards: [{slots: 0-16383, replicas: [127.0.0.1:1, 127.0.0.1:2]}]"
            .write(toFile: topology, atomically: true, encoding: .utf8)
        let lines = LogLines()
        var settings = shardSettings(index, state: index.folder.file("state"))
        settings.topologyFile = topology
        settings.announced = ClusterTopology.Address(parsing: "127.0.0.1:1")
        settings.cold = .popular
        // Nobody listens there: the node starts without its log, and tries again and again.
        settings.log = "redis://127.0.0.1:1"
        settings.logPatience = 0
        let node = try await ShardNode.open(settings, logger: lines.logger)
        try await node.start()
        await node.stop()
        let ended = lines.lines.compactMap { line in
            line.hasPrefix("Ended part=") ? String(line.dropFirst("Ended part=".count)) : nil
        }
        #expect(ended == ["watch", "cluster", "swaps", "server", "popularity", "log", "state", "log thread"])
        await node.stop()
        #expect(lines.lines.filter { $0.hasPrefix("Ended") }.count == ended.count, "a second stop finds nothing to end")
    }

    @Test func aSuccessorWaitsForTheStateOfItsPredecessor() async throws {
        let index = try BuiltIndex()
        try index.build(seed: 1)
        var settings = shardSettings(index, state: index.folder.file("state"))
        // Longer than a busy machine needs: the predecessor ends when the test says so.
        settings.lockPatience = .seconds(120)
        let first = try await ShardNode.open(settings, logger: LogLines().logger)
        let client = try PlainClient(port: try await first.startedPort())
        var impatient = settings
        impatient.lockPatience = .zero
        let refused = await #expect(throws: AnnexError.self) {
            try await ShardNode.open(impatient, logger: LogLines().logger)
        }
        #expect(refused?.code == .busy)
        let lines = LogLines()
        let patient = settings
        let second = Task { try await ShardNode.open(patient, logger: lines.logger) }
        try await eventually("the successor waits") { lines.contains("The state is in use by another process") }
        // The predecessor still serves, and keeps what it is told now.
        #expect(try client.ask("EVENT", "late", "i7") == .text("OK"))
        await first.stop()
        let node = try await second.value
        let reader = try PlainClient(port: try await node.startedPort())
        #expect(try reader.ask("SEEN", "late").texts == ["i7"])
        await node.stop()
    }

    @Test func aStartThatFailsHoldsNothing() async throws {
        let index = try BuiltIndex()
        try index.build(seed: 1)
        let other = try await ShardNode.open(shardSettings(index), logger: LogLines().logger)
        var settings = shardSettings(index, state: index.folder.file("state"))
        settings.server.port = try await other.startedPort()
        let taken = try await ShardNode.open(settings, logger: LogLines().logger)
        let refused = await #expect(throws: AnnexError.self) { try await taken.start() }
        #expect(refused?.code == .system && refused?.message.contains(":\(settings.server.port)") == true)
        settings.server.port = 0
        // The next one fails after it has opened its state.
        settings.folders.append(index.folder.file("nothing"))
        await #expect(throws: AnnexError.self) { try await ShardNode.open(settings, logger: LogLines().logger) }
        settings.folders.removeLast()
        let node = try await ShardNode.open(settings, logger: LogLines().logger)
        let client = try PlainClient(port: try await node.startedPort())
        #expect(try client.ask("EVENT", "u0", "i1") == .text("OK"))
        await node.stop()
        await other.stop()
        print("aStartThatFailsHoldsNothing: 2 failing starts injected")
    }

    @Test func oneThatNeverListenedEndsToo() async throws {
        let index = try BuiltIndex()
        try index.build(seed: 1)
        let settings = shardSettings(index, state: index.folder.file("state"))
        let lines = LogLines()
        let node = try await ShardNode.open(settings, logger: lines.logger)
        await node.stop()
        #expect(lines.contains("Ended part=server") && lines.contains("Ended part=state"))
    }
}
