import AnnexRouter
import Testing

/// Changes that meet while replicas stop and connections break.
@Suite struct ChangeWorldTests {
    private static let seeds: UInt64 = 60

    @Test func nothingFollowsAnAnswerAndNoOrderIsTurnedRound() {
        var faults: [String: Int] = [:]
        var (changes, acknowledged) = (0, 0)
        for seed in 1...Self.seeds {
            var world = ChangeWorld(seed: seed)
            world.run(milliseconds: 5_000)
            #expect(world.wrong.isEmpty, "seed \(seed): \(world.wrong.prefix(3))")
            faults.merge(world.faults) { $0 + $1 }
            changes += world.changes.count
            acknowledged += world.changes.count { $0.end?.outcome == .answered }
        }
        #expect(
            Set(faults.keys) == ["replica stopped", "log stopped", "cut off", "lost, arrives", "lost", "came too late"]
        )
        #expect(acknowledged * 2 > changes)
        print(
            "ChangeWorldTests: \(changes) changes, \(acknowledged) acknowledged, \(faults.sorted { $0.key < $1.key })"
        )
    }

    /// What is taken out is found.
    @Test(arguments: [
        (ChangeWorld.Without.expiry, "after it was acknowledged"), (.order, "which its client sent later"),
        (.boundedClocks, "after it was acknowledged"),
    ]) func eachPartIsNeeded(_ without: ChangeWorld.Without, _ sign: String) {
        let found = (1...Self.seeds).first { seed in
            var world = ChangeWorld(seed: seed, without: without)
            world.run(milliseconds: 5_000)
            return world.wrong.contains { $0.contains(sign) }
        }
        #expect(found != nil)
        print("ChangeWorldTests: without \(without) seed \(found ?? 0) finds it")
    }
}
