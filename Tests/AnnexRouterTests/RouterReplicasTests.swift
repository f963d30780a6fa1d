import AnnexCore
import AnnexRouter
import Testing

/// Which replica is asked, and which is not.
@Suite("The router's replicas")
struct RouterReplicasTests {
    /// Sends reads and says where they went.
    static func destinations(_ router: TestRouter, _ count: Int = 40, slot: Int = 0, prefer: Int? = nil) -> Set<Int> {
        var found: Set<Int> = []
        for _ in 0..<count {
            guard case .send(let dispatch) = router.begin(slot: slot, prefer: prefer) else { return [] }
            found.insert(dispatch.replica)
            _ = router.settle(dispatch, .answered)
        }
        return found
    }

    @Test("healthy replicas share, the one that owes less first; a preferred one is taken")
    func sharing() throws {
        let router = TestRouter()
        #expect(Self.destinations(router) == [0, 1])
        #expect(Self.destinations(router, slot: 16_383) == [2, 3])
        #expect(Self.destinations(router, prefer: 1) == [1])
        #expect(Self.destinations(router, prefer: 3) == [0, 1], "it is not of the shard")
        var owed = [0, 0]
        for _ in 0..<10 { owed[try router.send().replica] += 1 }
        #expect(owed == [5, 5])
    }

    @Test("a change follows those before it, however much waits there, unless nobody can be asked there")
    func changesFollow() throws {
        let router = TestRouter()
        for kind in [RequestKind.event, .idempotentEvent] {
            var sent: [Dispatch] = []
            for _ in 0..<50 {
                guard case .send(let dispatch) = router.begin(kind, slot: 0, prefer: 1) else { continue }
                sent.append(dispatch)
            }
            #expect(sent.count == 50 && sent.allSatisfy { $0.replica == 1 }, "\(kind)")
            guard case .send(let other) = router.begin(kind, slot: 0) else { continue }
            #expect(other.replica == 0, "without one before it, where less waits")
            for dispatch in sent + [other] { _ = router.settle(dispatch, .answered) }
        }
        router.silent = [1]
        router.pass(1_050)
        #expect(router.state(1) == .ejected)
        guard case .send(let dispatch) = router.begin(.event, slot: 0, prefer: 1) else {
            Issue.record("refused")
            return
        }
        #expect(dispatch.replica == 0)
    }

    @Test("out after three missed PINGs, back after two answers; no request finds out the hard way")
    func silence() throws {
        let router = TestRouter()
        router.silent = [0]
        router.pass(200)
        // One PING is owed by now, at the latest 250 ms later it is missed, and the third 500 ms after that.
        router.pass(850)
        #expect(router.state(0) == .ejected)
        #expect(Self.destinations(router) == [1])
        router.silent = []
        router.pass(1_100)
        #expect(router.state(0) == .healthy)
        #expect(Self.destinations(router) == [0, 1])
        let states = router.actions.compactMap { if case .health(0, let change) = $0 { change.to } else { nil } }
        #expect(states == [.suspect, .ejected, .probing, .healthy])
    }

    @Test("one that was taken back gets a share that grows to the full one in five seconds; one alone gets all")
    func slowStart() throws {
        let router = TestRouter()
        router.silent = [0]
        router.pass(1_100)
        #expect(router.state(0) == .ejected)
        router.silent = []
        while router.state(0) != .healthy { router.pass(1) }
        func share() -> Double {
            var there = 0
            for _ in 0..<1_000 {
                guard case .send(let dispatch) = router.begin() else { continue }
                if dispatch.replica == 0 { there += 1 }
                _ = router.settle(dispatch, .answered)
            }
            return Double(there) / 1_000
        }
        var shares = [share()]
        for _ in 0..<4 {
            router.pass(1_250)
            shares.append(share())
        }
        #expect(shares[0] < 0.08 && shares[0] > 0, "\(shares)")
        #expect((0.07...0.2).contains(shares[1]) && (0.18...0.32).contains(shares[2]), "\(shares)")
        #expect((0.45...0.55).contains(shares[4]), "\(shares)")
        // The only one is not spared.
        router.silent = [0]
        router.pass(1_100)
        router.silent = []
        while router.state(0) != .healthy { router.pass(1) }
        router.decisions.gone(1, now: router.now)
        #expect(share() == 1)
    }

    @Test("where nobody listens, PINGs come ever later, up to 2 s, and no two routers come together")
    func backoff() {
        func pauses(_ seed: UInt64) -> [UInt64] {
            var router = RouterDecisions(
                RouterSettings(),
                topology: smallTopology(shards: 1, replicas: 1),
                seed: seed,
                now: 0
            )
            var (last, found): (UInt64, [UInt64]) = (0, [])
            for millisecond in UInt64(0)..<20_000 {
                let now = millisecond * 1_000_000
                router.tick(now: now)
                while let action = router.nextAction() {
                    guard case .ping = action else { continue }
                    if now > 0 { found.append(millisecond - last) }
                    last = millisecond
                    router.gone(0, now: now)
                }
            }
            return found
        }
        let first = pauses(1)
        #expect(first.prefix(2).allSatisfy { (218...251).contains($0) }, "\(first)")
        #expect((250...501).contains(first[2]) && (500...1_001).contains(first[3]), "\(first)")
        #expect(first.dropFirst(4).allSatisfy { (1_000...2_001).contains($0) } && first.count < 24, "\(first)")
        #expect(pauses(2) != first)
    }

    @Test(
        "where all of a shard were gone, one that listens again is found by the first request",
        arguments: RequestKind.allCases
    )
    func goneAndBack(_ kind: RequestKind) throws {
        let router = TestRouter()
        router.silent = [0, 1]
        // The first was restarted: nobody has tried to connect for a while, as it was gone for long.
        for _ in 0..<5 {
            router.pass(2_000)
            router.decisions.gone(0, now: router.now)
        }
        router.decisions.gone(1, now: router.now)
        // Whichever is tried first: the one that is down refuses the connection, and the other one answers.
        var dispatch = try router.send(kind)
        let others = try (0..<3).map { _ in try router.send() }
        if dispatch.replica == 1 { dispatch = try router.settle(dispatch, .unsent).resent }
        #expect(dispatch.replica == 0)
        #expect(router.settle(dispatch, .answered) == .deliver(dispatch.request))
        for other in others {
            let again = other.replica == 1 ? try router.settle(other, .unsent).resent : other
            #expect(again.replica == 0 && router.settle(again, .answered) == .deliver(again.request))
        }
        // It has answered: it is asked at once, and a PING goes out soon.
        for _ in 0..<5 { #expect(router.settle(try router.send(), .answered) != .drop) }
        router.silent = [1]
        router.pass(26)
        #expect(router.state(0) == .probing)
        router.pass(250)
        #expect(router.state(0) == .healthy)
    }

    @Test("where all of a shard are gone, one request in a while tries to connect, and the rest is refused")
    func fewKnock() throws {
        let router = TestRouter()
        router.silent = [0, 1]
        for replica in 0..<2 { router.decisions.gone(replica, now: router.now) }
        var tries = 0
        for _ in 0..<1_000 {
            for _ in 0..<10 {
                guard case .send(var dispatch) = router.begin() else { continue }
                tries += 1
                while case .resend(let next) = router.settle(dispatch, .unsent) {
                    tries += 1
                    dispatch = next
                }
            }
            router.pass(1)
        }
        #expect((70...82).contains(tries), "\(tries) of 10,000: two replicas, each once in 25 ms")
    }

    @Test("what many requests try at once where nobody listens takes nothing of the retries of others")
    func knocksAreNoRetries() throws {
        let router = TestRouter()
        for _ in 0..<1_000 { _ = router.settle(try router.send(slot: 16_383), .answered) }
        router.silent = [0, 1]
        for replica in 0..<2 { router.decisions.gone(replica, now: router.now) }
        var knocking = try (0..<1_000).map { _ in try router.send() }
        var tries = knocking.count
        while !knocking.isEmpty {
            // The connection is refused: all that waited for it are settled, one by one.
            let next = knocking.compactMap { try? router.settle($0, .unsent).resent }
            tries += next.count
            knocking = next
        }
        #expect(tries == 2_000, "each once at each replica")
        #expect(router.decisions.pending == 0)
        // 1,200 requests of the other shard bought this.
        for _ in 0..<200 {
            let read = try router.send(slot: 16_383)
            _ = router.settle(try router.settle(read, .unsent).resent, .answered)
        }
        #expect(router.decisions.counters.unaffordable == 0)
    }

    @Test("a heavy read waits for a replica that runs, and does not knock where nobody listens")
    func heavyReadsWait() throws {
        let router = TestRouter()
        var sent: [Dispatch] = []
        for _ in 0..<4 {
            guard case .send(let dispatch) = HeavyReadTests.begin(router) else { throw NotSent() }
            sent.append(dispatch)
        }
        for replica in 2..<4 { router.decisions.gone(replica, now: router.now) }
        #expect(Set(sent.map(\.replica)) == [0, 1])
        guard case .wait = router.decisions.begin(.heavyRead, slot: nil, now: router.now) else {
            Issue.record("it does not wait")
            return
        }
        // One is out because requests fail, the other one is gone.
        router.decisions.gone(1, now: router.now)
        guard case .wait = HeavyReadTests.begin(router) else {
            Issue.record("it does not wait for the one that runs")
            return
        }
    }

    @Test("a connection attempt that hangs takes in those who come within a moment, and the others are refused")
    func blackHole() throws {
        for kind in [RequestKind.read, .heavyRead] {
            let router = TestRouter()
            router.silent = [0, 1]
            for replica in 0..<2 { router.decisions.gone(replica, now: router.now) }
            _ = try router.send(kind)
            router.pass(20)
            _ = try router.send()
            router.pass(30)
            _ = try? router.send()
            router.pass(30)
            #expect(router.begin() == .refuse(.shardDown), "\(kind)")
        }
    }

    @Test("a shard that is gone refuses at once, the other is not touched; any shard will do for who asks any")
    func shardGone() throws {
        let router = TestRouter()
        router.decisions.gone(0, now: router.now)
        router.decisions.gone(1, now: router.now)
        for _ in 0..<20 { #expect([2, 3].contains(try router.send(slot: nil).replica)) }
        let knock = try router.send()
        let second = try router.settle(knock, .unsent).resent
        #expect(Set([knock.replica, second.replica]) == [0, 1])
        #expect(router.settle(second, .unsent) == .fail(knock.request, .shardDown))
        for kind in RequestKind.allCases { #expect(router.begin(kind) == .refuse(.shardDown)) }
        #expect(Self.destinations(router, slot: 16_383) == [2, 3])
        for _ in 0..<20 {
            let dispatch = try router.send(slot: nil)
            #expect([2, 3].contains(dispatch.replica))
        }
        #expect(router.begin(slot: 16_384) == .refuse(.unowned))
        #expect(router.begin(slot: .max) == .refuse(.unowned))
    }

    @Test("where all of a shard are out that answer PINGs, they are asked all the same, whatever other shards do")
    func allUnfit() throws {
        var settings = RouterSettings()
        settings.retriesPerThousand = 0
        settings.retryReserve = 0
        let router = TestRouter(settings)
        // Requests fail, PINGs do not: both are out for the hold, of a second and more.
        for _ in 0..<100 where (0..<2).contains(where: { router.state($0) != .ejected }) {
            guard case .send(let dispatch) = router.begin() else { break }
            _ = router.settle(dispatch, .unavailable)
            router.pass(10)
        }
        #expect((0..<2).allSatisfy { router.state($0) == .ejected })
        #expect(Self.destinations(router) == [0, 1], "they are mended, and nobody waits for the end of the hold")
        #expect(router.decisions.counters.lastResorts >= 40)
        #expect(router.state(2) == .healthy && router.state(3) == .healthy)
        // One that does not answer PINGs is worse, and one that is gone is worse still.
        router.silent = [0]
        router.pass(600)
        #expect((0..<2).allSatisfy { router.state($0) == .ejected })
        #expect(Self.destinations(router) == [1])
        router.decisions.gone(1, now: router.now)
        #expect(Self.destinations(router) == [0])
        router.decisions.gone(0, now: router.now)
        let last = try router.settle(router.send(), .unsent).resent
        #expect(router.settle(last, .unsent) == .fail(last.request, .shardDown))
    }

    @Test("a shard that stands still is asked while what it owes is young, then refuses at once")
    func allSilent() throws {
        let router = TestRouter()
        router.silent = [0, 1]
        router.pass(1_100)
        #expect((0..<2).allSatisfy { router.state($0) == .ejected })
        let dispatch = try router.send()
        _ = try router.send(.event)
        router.pass(201)
        #expect(router.begin() == .refuse(.shardDown) && router.begin(.event) == .refuse(.shardDown))
        #expect(HeavyReadTests.begin(router) == .refuse(.shardDown))
        #expect(Self.destinations(router, slot: 16_383) == [2, 3])
        // It was only slow.
        _ = router.settle(dispatch, .answered)
        let other = try router.send()
        #expect(other.replica == dispatch.replica)
        router.silent = []
        router.pass(1_100)
        #expect((0..<2).allSatisfy { router.state($0) == .healthy })
    }

    @Test("one that refuses events still gets reads")
    func refusesEvents() throws {
        let router = TestRouter()
        var refusals = 0
        for _ in 0..<20 {
            var dispatch = try router.send(.event)
            if dispatch.replica == 0 {
                refusals += 1
                let next = try router.settle(dispatch, .unavailable).resent
                dispatch = next
            }
            _ = router.settle(dispatch, .answered)
        }
        #expect(refusals == 1, "it was remembered")
        #expect(Self.destinations(router) == [0, 1])
        #expect(router.state(0) == .healthy)
    }

    @Test("a replica owes at most its limit", arguments: [1, 2, 100])
    func inFlight(_ limit: Int) throws {
        var settings = RouterSettings()
        settings.inFlightPerReplica = limit
        let router = TestRouter(settings)
        var sent: [Dispatch] = []
        for _ in 0..<(2 * limit) { sent.append(try router.send()) }
        #expect(sent.count == 2 * limit)
        #expect([0, 1].allSatisfy { router.owed(by: $0) == limit })
        #expect(router.begin() == .refuse(.overloaded))
        _ = try router.send(slot: 16_383)
        #expect(router.settle(sent[0], .answered) == .deliver(sent[0].request))
        _ = try router.send()
        #expect(router.begin() == .refuse(.overloaded))
        // Nobody waits for them any more, but they are still owed.
        router.pass(300)
        #expect(router.begin() == .refuse(.overloaded))
    }

    @Test("limits that make no sense are brought into range", arguments: [Int.min, -1, 0, .max])
    func senselessLimits(_ number: Int) throws {
        var settings = RouterSettings()
        settings.inFlightPerReplica = number
        settings.attempts = number
        settings.missesToEject = number
        settings.hitsToReturn = number == .max ? 2 : number
        settings.failuresToEject = number
        settings.pingInterval = number == .max ? 250_000_000 : 0
        settings.queueDepth = number
        settings.retryBurst = number
        settings.retryReserve = number
        let router = TestRouter(settings)
        let dispatch = try router.send()
        _ = router.settle(dispatch, .lost)
        router.pass(300)
        #expect(router.decisions.pending == 0)
    }

    @Test("what waits too long sheds what comes, and a reply that never comes resets the connections")
    func shedding() throws {
        var settings = RouterSettings()
        settings.queueDepth = 10
        settings.isHedging = false
        settings.retriesPerThousand = 0
        settings.retryReserve = 0
        let router = TestRouter(settings)
        var old: [Dispatch] = []
        for _ in 0..<20 { old.append(try router.send()) }
        router.pass(200)
        _ = try router.send()
        router.pass(1)
        #expect(router.begin() == .refuse(.overloaded))
        _ = try router.send(.event)
        // One of them answers: it is asked alone.
        for dispatch in old where dispatch.replica == 0 { _ = router.settle(dispatch, .answered) }
        #expect(Self.destinations(router) == [0])
        router.pass(4_800)
        #expect(router.actions.filter { $0 == .reset(replica: 1) }.count == 1)
        #expect(!router.actions.contains(.reset(replica: 0)))
    }

    @Test("events that wait for the log do not keep reads away")
    func slowLog() throws {
        var settings = RouterSettings()
        settings.queueDepth = 10
        let router = TestRouter(settings)
        for _ in 0..<20 { _ = try router.send(.event) }
        router.pass(801)
        #expect(router.begin(.event) == .refuse(.overloaded))
        #expect(Self.destinations(router) == [0, 1])
    }

    @Test("another topology: who stays keeps its number and its health, who goes ends what it owes")
    func topology() throws {
        let router = TestRouter()
        router.silent = [1]
        router.pass(1_100)
        let dispatch = try router.send()
        #expect(dispatch.replica == 0)
        router.actions = []
        // Replica 0 goes, and shard 1 gets all slots of shard 0 but those below 100.
        let all = smallTopology(shards: 2, replicas: 2)
        let next = ClusterTopology(
            epoch: 2,
            shards: [
                .init(name: "0", slots: SlotSet([0...99]), replicas: [all.shards[0].replicas[1]]),
                .init(
                    name: "1",
                    slots: SlotSet([100...16_383]),
                    replicas: [.init(host: "10.0.9.9", port: 1)] + all.shards[1].replicas
                ),
            ]
        )
        router.decisions.adopt(next, now: router.now)
        router.take()
        #expect(router.actions.isEmpty, "a reply is owed")
        #expect(router.state(1) == .ejected)
        #expect(router.replicas(of: 1) == [4, 2, 3])
        #expect(Self.destinations(router, slot: 100) == [2, 3])
        #expect(router.settle(dispatch, .answered) == .deliver(dispatch.request))
        router.take()
        #expect(router.actions == [.retired(replica: 0)])
        router.pass(600)
        #expect(Self.destinations(router, slot: 100) == [2, 3, 4])
        // The place is used again.
        router.decisions.adopt(all, now: router.now)
        router.take()
        #expect(router.replicas(of: 0) == [0, 1])
        #expect(router.actions.contains(.retired(replica: 4)))
        #expect(router.replica(at: all.shards[0].replicas[0]) == 0)
        #expect(router.replica(at: .init(host: "10.0.9.9", port: 1)) == nil)
    }

    @Test("a request under way goes by the new topology when it is sent again")
    func topologyUnderWay() throws {
        let router = TestRouter()
        let dispatch = try router.send()
        let all = smallTopology(shards: 2, replicas: 2)
        let next = ClusterTopology(
            epoch: 2,
            shards: [.init(name: "1", slots: .all, replicas: all.shards[1].replicas)]
        )
        router.decisions.adopt(next, now: router.now)
        let second = try router.settle(dispatch, .lost).resent
        #expect([2, 3].contains(second.replica))
        router.decisions.adopt(ClusterTopology(epoch: 3, shards: []), now: router.now)
        #expect(router.settle(second, .lost) == .fail(dispatch.request, .shardDown))
        #expect(router.begin() == .refuse(.unowned))
        #expect(router.begin(slot: nil) == .refuse(.unowned))
    }
}
