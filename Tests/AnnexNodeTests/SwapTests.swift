import AnnexBuild
import AnnexCore
import AnnexNode
import Foundation
import Testing

/// Versions come and go under a node that answers.
@Suite struct SwapTests {
    private static let k = 5
    private static let users = (0..<BuiltIndex.users).map { "u\($0)" }

    /// What each user is answered by rows of that seed.
    private static func answers(seed: UInt64) -> [[String]] {
        Self.users.map { BuiltIndex.best($0, Self.k, seed: seed) }
    }

    /// Asks for every user, one by one and then 40 times in one command; returns each user's answer, and those of the command.
    private static func round(_ client: PlainClient) throws -> (single: [[String]], together: [[String]]) {
        let many = Array(repeating: Self.users, count: 40).flatMap { $0 }
        try client.send(
            Self.users.map { ["TOPK", $0, "\(Self.k)"] } + [["MTOPK", "\(many.count)"] + many + ["\(Self.k)"]]
        )
        let single = try Self.users.map { _ in try client.reply().texts ?? [] }
        guard case .list(let lists) = try client.reply() else { return (single, []) }
        return (single, lists.map { $0.texts ?? [] })
    }

    @Test func everyAnswerIsOfOneVersionWhileAnotherComes() async throws {
        let index = try BuiltIndex()
        try index.build(seed: 1)
        let node = try await ShardNode.open(shardSettings(index), logger: LogLines().logger)
        let port = try await node.startedPort()
        let old = Self.answers(seed: 1)
        let new = Self.answers(seed: 2)
        try #require(zip(old, new).allSatisfy { $0 != $1 }, "each user tells the versions apart")
        let clients = try (0..<4).map { _ in try PlainClient(port: port) }
        let build = Task { try index.build(seed: 2) }
        var isSwapped = [false, false, false, false]
        var rounds = (old: 0, new: 0)
        while rounds.new < 40, rounds.old < 100_000 {
            for (position, client) in clients.enumerated() {
                let (single, together) = try Self.round(client)
                // A connection that has seen the new version sees the old one no more.
                for (user, answer) in single.enumerated() {
                    if answer == new[user] { isSwapped[position] = true }
                    #expect(answer == (isSwapped[position] ? new[user] : old[user]))
                }
                // One command is answered by one version, however long it takes.
                let expected = [old, new].map { answers in Array(repeating: answers, count: 40).flatMap { $0 } }
                #expect(expected.contains(together))
                if together == expected[1] { isSwapped[position] = true }
                if isSwapped[position] { rounds.new += 1 } else { rounds.old += 1 }
            }
            await Task.yield()
        }
        _ = try await build.value
        #expect(rounds.old > 0 && isSwapped == [true, true, true, true])
        #expect(try clients[0].info("indexes", "index_shop")?.contains("reloads=1,failed_reloads=0") == true)
        await node.stop()
        print("everyAnswerIsOfOneVersionWhileAnotherComes: \(rounds.old) rounds before the swap, \(rounds.new) after")
    }

    @Test func aDamagedVersionIsRefusedAndInfoSaysWhy() async throws {
        let index = try BuiltIndex()
        let sound = try index.build(seed: 1)
        let damaged = try index.build(seed: 2)
        try index.damage(damaged)
        try index.use(sound)
        let lines = LogLines()
        let node = try await ShardNode.open(shardSettings(index), logger: lines.logger)
        let client = try PlainClient(port: try await node.startedPort())
        try index.use(damaged)
        func line() throws -> String { try client.info("indexes", "index_shop") ?? "" }
        try await eventually("the version is refused") { try line().contains("failed_reloads=1") }
        let refused = try line()
        #expect(refused.contains("version=\(sound),"))
        #expect(refused.contains(VersionLayout.vectors), "INFO names the damaged file: \(refused)")
        #expect(lines.contains("A new version was refused, the one before is still served"))
        for (user, answer) in zip(Self.users, Self.answers(seed: 1)) {
            #expect(try client.ask("TOPK", user, "\(Self.k)").texts == answer)
        }
        // It is not tried again before another is published.
        try index.build(seed: 3)
        try await eventually("a sound version is served") { try line().contains("reloads=1,failed_reloads=1") }
        for (user, answer) in zip(Self.users, Self.answers(seed: 3)) {
            #expect(try client.ask("TOPK", user, "\(Self.k)").texts == answer)
        }
        await node.stop()
        print("aDamagedVersionIsRefusedAndInfoSaysWhy: 1 damaged version injected, refused once")
    }
}
