import AnnexRouter
import Testing

/// The attempts of one change: no two can be carried out at one time, and none after its client was answered.
@Suite struct ChangeAttemptTests {
    private static func since(_ start: UInt64, _ time: UInt64) -> Int { Int(time - start) / 1_000_000 }

    /// Of what may be sent again the first has half the time, less what clocks may be apart; of others all of it.
    @Test(arguments: [(RequestKind.idempotentEvent, 400), (.event, 900)])
    func expiry(_ kind: RequestKind, _ milliseconds: Int) throws {
        let router = TestRouter()
        let start = router.now
        #expect(Self.since(start, try router.send(kind).expiresAt) == milliseconds)
        #expect(try router.send(.read).expiresAt == .max)
    }

    @Test(arguments: [Outcome.lost, .timedOut])
    func oneThatMayBeStoredIsSentAgainWhenItIsOver(_ outcome: Outcome) throws {
        let router = TestRouter()
        let start = router.now
        let first = try router.send(.idempotentEvent)
        router.pass(20)
        #expect(router.settle(first, outcome) == .drop)
        #expect(router.isPending(first.request))
        router.pass(479)
        #expect(router.actions.isEmpty)
        router.pass(1)
        let second = try router.firstSent
        #expect(second.request == first.request && Self.since(start, second.expiresAt) == 900)
        #expect(router.settle(second, .answered) == .deliver(first.request))
        #expect(router.decisions.pending == 0)
    }

    /// The last attempt has the rest of the time: what it leaves open ends with the request.
    @Test func oneThatIsLostTwiceIsAnsweredAtItsEnd() throws {
        let router = TestRouter()
        let first = try router.send(.idempotentEvent)
        #expect(router.settle(first, .lost) == .drop)
        router.pass(500)
        let second = try router.firstSent
        #expect(router.settle(second, .lost) == .drop)
        router.pass(499)
        #expect(router.isPending(first.request))
        router.pass(1)
        #expect(router.actions.contains(.fail(first.request, .timedOutMaybeStored)))
    }

    /// Where there is nobody else to ask, it ends as soon as the attempt is over.
    @Test func oneThatNobodyElseCanTakeEndsWhenItIsOver() throws {
        var settings = RouterSettings()
        settings.attempts = 1
        let router = TestRouter(settings)
        let first = try router.send(.idempotentEvent)
        #expect(router.settle(first, .lost) == .drop)
        router.pass(499)
        #expect(router.isPending(first.request))
        router.pass(1)
        #expect(router.actions == [.fail(first.request, .lostMaybeStored)])
    }

    /// The first answers when the second is out: the client is answered when that has ended as well.
    @Test(arguments: [Outcome.answered, .unavailable, .overloaded, .lost, nil])
    func aReplyWaitsForTheOtherAttempt(_ outcome: Outcome?) throws {
        let router = TestRouter()
        let first = try router.send(.idempotentEvent)
        router.pass(500)
        let second = try router.firstSent
        router.actions = []
        router.pass(10)
        #expect(router.settle(first, .answered) == .keep(first.request))
        switch outcome {
        case .answered, .unavailable, .overloaded:
            #expect(router.settle(second, outcome ?? .lost) == .deliverKept(first.request))
        default:
            if let outcome { #expect(router.settle(second, outcome) == .drop) }
            router.pass(489)
            #expect(router.isPending(first.request))
            router.pass(1)
            #expect(router.actions == [.deliverKept(first.request)])
        }
        #expect(router.decisions.pending == 0)
    }

    /// One that was certainly not stored is sent again at once, and the next is not cut short by a nudge that would follow it.
    @Test(arguments: [(50, 400), (290, 400), (310, 900), (700, 900)])
    func refusedAttempts(_ milliseconds: Int, _ expiry: Int) throws {
        let router = TestRouter()
        let start = router.now
        let first = try router.send(.idempotentEvent)
        router.decisions.cancel(try router.send(.read).request)
        router.pass(min(milliseconds, 499))
        let second = try router.settle(first, .unavailable).resent
        #expect(Self.since(start, second.expiresAt) == (milliseconds > 499 ? 900 : expiry))
    }

    /// Too little time for anything to be carried out: refused at once.
    @Test func tooLittleTime() {
        let router = TestRouter()
        for left in [0, 1, 199, 200, 201] as [UInt64] {
            let deadline = router.now + left * 1_000_000
            let decision = router.decisions.begin(.event, slot: 0, deadline: deadline, now: router.now)
            #expect((decision == .refuse(.timedOut)) == (left <= 200))
        }
    }
}
