import AnnexCore
import AnnexRouter
import Testing

/// Heavy reads: what keeps them away from everybody else. Replicas 0 and 1 serve slot 0, 2 and 3 slot 16,383.
@Suite("Heavy reads")
struct HeavyReadTests {
    static func begin(_ router: TestRouter, client: UInt64 = 1, slot: Int? = 0) -> Decision {
        router.decisions.begin(.heavyRead, slot: slot, client: client, now: router.now)
    }

    /// Two for each replica of shard 0, which are its limit.
    static func fill(_ router: TestRouter) throws -> [Dispatch] {
        try (0..<4).map { _ in
            guard case .send(let dispatch) = Self.begin(router) else { throw NotSent() }
            return dispatch
        }
    }

    static func wait(_ router: TestRouter, client: UInt64) throws -> RequestID {
        guard case .wait(let id) = Self.begin(router, client: client) else { throw NotSent() }
        return id
    }

    @Test("a late one is neither hedged nor asked elsewhere, blames nobody, and ends at its own deadline")
    func late() throws {
        let router = TestRouter()
        for _ in 0..<400 {
            let dispatch = try router.send()
            router.now += 2_000_000
            _ = router.settle(dispatch, .answered)
        }
        router.pass(300)
        router.actions = []
        let sent = try Self.fill(router)
        router.pass(9_999)
        #expect(router.actions.isEmpty)
        router.pass(1)
        #expect(Set(router.failed) == Set(sent.map(\.request)))
        #expect((0..<4).allSatisfy { router.state($0) == .healthy })
        #expect(router.decisions.counters.hedges == 0 && router.decisions.counters.retries == 0)
        // Its reply is still owed, and takes up room.
        #expect(router.owed(by: 0) == 2 && router.owed(by: 1) == 2)
        for outcome in Outcome.allCases.prefix(4) { _ = router.settle(sent[Int(outcome.rawValue)], outcome) }
        #expect((0..<4).allSatisfy { router.state($0) == .healthy })
    }

    @Test("its deadline goes with it, from when the router had it")
    func carriesDeadline() throws {
        let router = TestRouter()
        let end = router.now + 10_000_000_000
        let sent = try Self.fill(router)
        #expect(sent.allSatisfy { $0.expiresAt == end })
        let waiting = try Self.wait(router, client: 1)
        router.pass(3_000)
        _ = router.settle(sent[0], .answered)
        router.take()
        let next = try router.firstSent
        #expect(next.request == waiting && next.expiresAt == end)
        // Too late to begin: the shard said so, and did nothing.
        #expect(router.settle(next, .timedOut) == .deliver(waiting))
        #expect(try router.send().expiresAt == .max)
    }

    @Test("however they end, a replica's health stays what it is", arguments: Outcome.allCases)
    func health(_ outcome: Outcome) throws {
        let router = TestRouter()
        for _ in 0..<200 {
            guard case .send(let dispatch) = Self.begin(router) else { throw NotSent() }
            if case .resend(let second) = router.settle(dispatch, outcome) { _ = router.settle(second, outcome) }
            router.pass(20)
        }
        #expect((0..<4).allSatisfy { router.state($0) == .healthy })
        #expect(RouterReplicasTests.destinations(router) == [0, 1])
        #expect(router.decisions.pending == 0 && router.decisions.owedReplies == 0)
    }

    @Test("more than the limit wait, other reads do not, and each reply lets one go")
    func limit() throws {
        let router = TestRouter()
        let sent = try Self.fill(router)
        let waiting = try (0..<3).map { _ in try Self.wait(router, client: 1) }
        #expect(router.decisions.waitingHeavyReads == 3)
        for _ in 0..<20 { #expect(router.settle(try router.send(), .answered) != .drop) }
        guard case .send = Self.begin(router, slot: 16_383) else {
            Issue.record("another shard has nothing to do with it")
            return
        }
        for (number, dispatch) in sent.prefix(3).enumerated() {
            #expect(router.settle(dispatch, .answered) == .deliver(dispatch.request))
            router.take()
            let next = try router.sent(number)
            #expect(next.request == waiting[number] && next.replica == dispatch.replica && next.reason == .first)
        }
        #expect(router.decisions.waitingHeavyReads == 0)
    }

    @Test("clients take turns, however many one of them asks")
    func turns() throws {
        let router = TestRouter()
        var owed = try Self.fill(router)
        var clients: [RequestID: UInt64] = [:]
        for _ in 0..<50 { clients[try Self.wait(router, client: 1)] = 1 }
        for client in UInt64(2)...4 { for _ in 0..<2 { clients[try Self.wait(router, client: client)] = client } }
        var order: [UInt64] = []
        for number in 0..<56 {
            _ = router.settle(owed.removeFirst(), .answered)
            router.take()
            let next = try router.sent(number)
            owed.append(next)
            order.append(clients[next.request] ?? 0)
        }
        #expect(order.prefix(8) == [1, 2, 3, 4, 1, 2, 3, 4])
        #expect(order.dropFirst(8).allSatisfy { $0 == 1 })
    }

    @Test("a full queue refuses whoever has most in it")
    func fullQueue() throws {
        var settings = RouterSettings()
        settings.heavyQueue = 4
        let router = TestRouter(settings)
        _ = try Self.fill(router)
        let greedy = try (0..<4).map { _ in try Self.wait(router, client: 1) }
        #expect(Self.begin(router, client: 1) == .refuse(.overloaded))
        let second = try Self.wait(router, client: 2)
        router.take()
        #expect(router.actions == [.fail(greedy[3], .overloaded)])
        _ = try Self.wait(router, client: 2)
        router.take()
        #expect(router.actions.count == 2 && router.actions[1] == .fail(greedy[2], .overloaded))
        #expect(Self.begin(router, client: 2) == .refuse(.overloaded), "both have two")
        let third = try Self.wait(router, client: 3)
        #expect(router.isPending(second) && router.isPending(third) && router.isPending(greedy[0]))
        #expect(router.decisions.waitingHeavyReads == 4)
        #expect(router.decisions.counters.heavyRefusals == 5)
    }

    @Test("who waits ends at its deadline, or when its client leaves, and its place is free")
    func waitingEnds() throws {
        let router = TestRouter()
        let sent = try Self.fill(router)
        let left = try Self.wait(router, client: 1)
        router.pass(5_000)
        let late = try Self.wait(router, client: 2)
        router.decisions.cancel(left)
        #expect(router.decisions.waitingHeavyReads == 1)
        for dispatch in sent.prefix(1) { _ = router.settle(dispatch, .answered) }
        router.take()
        #expect(try router.firstSent.request == late)
        let waiting = try Self.wait(router, client: 2)
        router.actions = []
        router.pass(9_999)
        #expect(router.isPending(waiting))
        router.pass(2)
        #expect(router.actions.contains(.fail(waiting, .timedOut)))
        #expect(router.decisions.waitingHeavyReads == 0 && router.decisions.pending == 0)
    }

    @Test("one whose replica was lost goes to the other, once, and waits for room there")
    func lost() throws {
        let router = TestRouter()
        let sent = try Self.fill(router)
        let there = sent.filter { $0.replica == 0 }
        let waiting = try Self.wait(router, client: 2)
        router.decisions.gone(0, now: router.now)
        #expect(router.settle(there[0], .lost) == .drop)
        #expect(router.isPending(there[0].request))
        router.take()
        router.actions = []
        for dispatch in sent where dispatch.replica == 1 { _ = router.settle(dispatch, .answered) }
        router.take()
        let next = try (0..<2).map { try router.sent($0) }
        #expect(next.map(\.request) == [there[0].request, waiting], "it had its turn already")
        #expect(next.allSatisfy { $0.replica == 1 } && next.map(\.reason) == [.retry, .first])
        #expect(router.settle(next[0], .lost) == .fail(there[0].request, .shardDown), "not a third time")
    }

    @Test("those of a replica that stands still are asked of another when it is left out")
    func silent() throws {
        let router = TestRouter()
        guard case .send(let first) = Self.begin(router) else { throw NotSent() }
        router.silent = [first.replica]
        router.pass(1_100)
        #expect(router.state(first.replica) == .ejected)
        let second = try router.sent(0)
        #expect(second.request == first.request && second.replica == 1 - first.replica)
        #expect(router.settle(second, .answered) == .deliver(first.request))
        #expect(router.settle(first, .answered) == .drop)
    }

    @Test("a reply that never comes resets the connections of heavy reads, and no other")
    func neverAnswered() throws {
        let router = TestRouter()
        let sent = try Self.fill(router)
        router.pass(15_000)
        #expect(!router.actions.contains { if case .resetHeavy = $0 { true } else { false } })
        router.pass(2)
        #expect(
            Set(router.actions.compactMap { if case .resetHeavy(let replica) = $0 { replica } else { nil } }) == [0, 1]
        )
        #expect(!router.actions.contains { if case .reset = $0 { true } else { false } })
        for dispatch in sent { _ = router.settle(dispatch, .lost) }
        #expect(router.owed(by: 0) == 0)
    }

    @Test("another topology takes those that wait along, and ends those whose slots nobody owns")
    func topology() throws {
        let router = TestRouter()
        _ = try Self.fill(router)
        let waiting = try (0..<3).map { _ in try Self.wait(router, client: 1) }
        let all = smallTopology(shards: 2, replicas: 2)
        let one = ClusterTopology(epoch: 2, shards: [.init(name: "1", slots: .all, replicas: all.shards[1].replicas)])
        router.decisions.adopt(one, now: router.now)
        router.pass(1)
        #expect(try (0..<3).map { try router.sent($0).request } == waiting)
        #expect(try (0..<3).allSatisfy { [2, 3].contains(try router.sent($0).replica) })
        _ = Self.begin(router)
        let last = try Self.wait(router, client: 1)
        router.decisions.adopt(ClusterTopology(epoch: 3, shards: []), now: router.now)
        router.take()
        #expect(router.actions.contains(.fail(last, .unowned)))
    }
}
