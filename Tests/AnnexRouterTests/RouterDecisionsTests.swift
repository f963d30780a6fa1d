import AnnexCore
import AnnexRouter
import Testing

/// Requests, one rule at a time. Two shards with two replicas each: 0 and 1 serve slot 0, 2 and 3 slot 16,383.
@Suite("The router's decisions")
struct RouterDecisionsTests {
    /// An outcome of the first attempt, for each kind of request; then of the second. What the client gets.
    enum End: Equatable { case resent, delivered, waiting, failed(Failure) }

    static let firsts: [(Outcome, RequestKind, End)] = [
        (.answered, .read, .delivered), (.answered, .event, .delivered), (.answered, .idempotentEvent, .delivered),
        (.unavailable, .read, .resent), (.unavailable, .event, .resent), (.unavailable, .idempotentEvent, .resent),
        (.overloaded, .read, .resent), (.overloaded, .event, .resent), (.overloaded, .idempotentEvent, .resent),
        (.unknownItem, .event, .resent), (.unknownItem, .idempotentEvent, .resent),
        (.moved, .read, .delivered), (.moved, .event, .delivered), (.moved, .idempotentEvent, .delivered),
        (.timedOut, .read, .resent), (.timedOut, .event, .delivered), (.timedOut, .idempotentEvent, .waiting),
        (.lost, .read, .resent), (.lost, .event, .failed(.lostMaybeStored)), (.lost, .idempotentEvent, .waiting),
        (.unsent, .read, .resent), (.unsent, .event, .resent), (.unsent, .idempotentEvent, .resent),
    ]

    static func end(_ verdict: Verdict) -> End {
        switch verdict {
        case .deliver, .deliverKept: .delivered
        case .drop, .keep: .waiting
        case .resend: .resent
        case .fail(_, let failure): .failed(failure)
        }
    }

    @Test("how a first attempt ends decides", arguments: firsts)
    func first(_ outcome: Outcome, _ kind: RequestKind, _ expected: End) throws {
        let router = TestRouter()
        let dispatch = try router.send(kind)
        #expect(dispatch.reason == .first && [0, 1].contains(dispatch.replica))
        let verdict = router.settle(dispatch, outcome)
        #expect(Self.end(verdict) == expected)
        #expect(router.isPending(dispatch.request) == (expected == .resent || expected == .waiting))
        #expect(router.settle(dispatch, outcome) == .drop, "it was settled before")
        guard case .resend(let second) = verdict else { return }
        #expect(second.request == dispatch.request && second.replica == 1 - dispatch.replica && second.reason == .retry)
        #expect(router.settle(second, .answered) == .deliver(dispatch.request))
        #expect(router.decisions.pending == 0 && router.decisions.owedReplies == 0)
    }

    @Test(
        "the last reply is forwarded where there is one, unless the event may be stored",
        arguments: [
            ([Outcome.unavailable, .unavailable], RequestKind.read, End.delivered),
            ([.unavailable, .overloaded], .event, .delivered),
            ([.unavailable, .lost], .event, .failed(.lostMaybeStored)),
            ([.lost, .lost, .lost], .read, .failed(.shardDown)),
            ([.unsent, .unsent, .unsent], .event, .failed(.shardDown)),
            ([.lost, .timedOut], .read, .delivered),
            ([.stale, .answered], .read, .delivered),
            ([.stale, .stale], .read, .failed(.timedOut)),
            ([.lost, .stale], .read, .failed(.timedOut)),
            ([.unknownItem, .unknownItem], .event, .delivered),
            ([.unknownItem, .answered], .idempotentEvent, .delivered),
            ([.unknownItem, .unavailable], .event, .delivered),
            ([.unknownItem, .lost], .event, .failed(.lostMaybeStored)),
        ]
    )
    func lasts(_ outcomes: [Outcome], _ kind: RequestKind, _ expected: End) throws {
        let router = TestRouter()
        var dispatch = try router.send(kind)
        for outcome in outcomes.dropLast() {
            let next = try router.settle(dispatch, outcome).resent
            dispatch = next
        }
        #expect(Self.end(router.settle(dispatch, outcomes[outcomes.count - 1])) == expected)
        #expect(router.decisions.pending == 0)
    }

    @Test("MOVED is followed once, and says that the topology is old")
    func moved() throws {
        let router = TestRouter()
        let dispatch = try router.send(.event)
        let next = try router.settle(dispatch, .moved, redirect: 2).resent
        #expect(next.replica == 2 && next.reason == .redirect)
        #expect(router.settle(next, .moved, redirect: 2) == .deliver(dispatch.request), "it was there already")
        router.take()
        #expect(router.actions == [.topologyIsStale])
        for redirect in [-1, 4, Int.max, Int.min] {
            let other = try router.send()
            #expect(router.settle(other, .moved, redirect: redirect) == .deliver(other.request))
        }
    }

    @Test(
        "a deadline ends a request at the next tick, and what comes then is dropped",
        arguments: [
            (RequestKind.read, 250, Failure.timedOut), (.event, 1_000, .timedOutMaybeStored),
            (.idempotentEvent, 1_000, .timedOutMaybeStored),
        ]
    )
    func deadline(_ kind: RequestKind, _ milliseconds: Int, _ failure: Failure) throws {
        let router = TestRouter()
        let dispatch = try router.send(kind)
        router.pass(milliseconds - 1)
        #expect(router.isPending(dispatch.request))
        router.pass(1)
        #expect(router.actions.contains(.fail(dispatch.request, failure)))
        #expect(!router.isPending(dispatch.request))
        #expect(router.decisions.owedReplies == (kind == .event ? 1 : 2))
        #expect(router.settle(dispatch, .answered) == .drop)
        #expect(router.decisions.counters.lateReplies == 1)
    }

    @Test("deadlines anywhere", arguments: [0, 1, 999_999_999, 1_600_000_000, UInt64.max - 1, .max])
    func anyDeadline(_ deadline: UInt64) throws {
        let router = TestRouter()
        let decision = router.decisions.begin(.read, slot: 0, deadline: deadline, now: router.now)
        guard deadline > router.now else {
            #expect(decision == .refuse(.timedOut))
            return
        }
        guard case .send(let dispatch) = decision else { throw NotSent() }
        router.pass(3_000)
        #expect(router.isPending(dispatch.request))
        #expect(router.settle(dispatch, .answered) == .deliver(dispatch.request))
    }

    @Test(
        "at half the time a read and an event that may be repeated are tried elsewhere",
        arguments: [
            (RequestKind.read, 125), (.idempotentEvent, 500), (.event, 500),
        ]
    )
    func nudge(_ kind: RequestKind, _ milliseconds: Int) throws {
        let router = TestRouter()
        let dispatch = try router.send(kind)
        router.pass(milliseconds - 1)
        #expect(router.actions.isEmpty)
        router.pass(1)
        guard kind != .event else {
            #expect(router.actions.isEmpty)
            return
        }
        let second = try router.firstSent
        #expect(second.request == dispatch.request && second.replica != dispatch.replica && second.reason == .retry)
        // The first may still answer; then the second is late. A change's is waited for: it could be carried out afterwards.
        #expect(
            router.settle(dispatch, .answered)
                == (kind == .read ? .deliver(dispatch.request) : .keep(dispatch.request))
        )
        #expect(router.settle(second, .answered) == (kind == .read ? .drop : .deliverKept(dispatch.request)))
    }

    @Test("a read slower than most is hedged; an event is not")
    func hedge() throws {
        let router = TestRouter()
        for _ in 0..<400 {
            let dispatch = try router.send()
            router.now += 2_000_000
            #expect(router.settle(dispatch, .answered) == .deliver(dispatch.request))
        }
        router.pass(300)
        let slow = try router.send()
        _ = try router.send(.idempotentEvent)
        router.pass(1)
        #expect(router.actions.isEmpty)
        router.pass(2)
        let hedge = try router.firstSent
        #expect(hedge.reason == .hedge && hedge.request == slow.request && hedge.replica != slow.replica)
        #expect(router.actions.count == 1)
        // A connection that breaks leaves the other attempt.
        #expect(router.settle(slow, .lost) == .drop)
        #expect(router.settle(hedge, .answered) == .deliver(slow.request))
    }

    @Test("requests over the budget are not sent again")
    func budget() throws {
        var settings = RouterSettings()
        settings.retryReserve = 2
        let router = TestRouter(settings)
        var resent = 0
        for _ in 0..<100 {
            let dispatch = try router.send()
            switch router.settle(dispatch, .lost) {
            case .resend(let next):
                resent += 1
                #expect(router.settle(next, .answered) == .deliver(dispatch.request))
            case .fail(_, let failure): #expect(failure == .shardDown)
            case let other: Issue.record("\(other)")
            }
        }
        #expect(resent == 22)
        #expect(router.decisions.counters.unaffordable == 78)
    }

    @Test("wrong ids use up nothing but their own budget")
    func unknownItems() throws {
        var settings = RouterSettings()
        settings.retryReserve = 2
        let router = TestRouter(settings)
        var asked = 0
        for _ in 0..<100 {
            let dispatch = try router.send(.event)
            guard case .resend(let next) = router.settle(dispatch, .unknownItem) else { continue }
            asked += 1
            #expect(next.replica == 1 - dispatch.replica)
            #expect(router.settle(next, .unknownItem) == .deliver(dispatch.request))
        }
        #expect(asked == 52 && router.decisions.counters.secondOpinions == 52)
        #expect(router.decisions.counters.retries == 0 && router.decisions.counters.unaffordable == 0)
        #expect((0..<2).allSatisfy { router.state($0) == .healthy })
    }

    @Test("a client that leaves ends its request")
    func cancel() throws {
        let router = TestRouter()
        let dispatch = try router.send()
        router.decisions.cancel(dispatch.request)
        router.decisions.cancel(dispatch.request)
        #expect(router.decisions.pending == 0 && router.decisions.owedReplies == 1)
        let other = try router.send()
        router.decisions.cancel(dispatch.request)
        #expect(router.isPending(other.request), "an old id names nobody")
        #expect(router.settle(dispatch, .answered) == .drop)
        #expect(router.settle(other, .answered) == .deliver(other.request))
        router.pass(2_000)
        #expect(router.actions.allSatisfy { if case .fail = $0 { false } else { true } })
    }
}
