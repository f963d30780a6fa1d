import AnnexCore
import AnnexRouter
import CAllocationCounter
import Foundation
import Testing

/// What a decision costs: it is made for every request.
@Suite("What the router's decisions cost", .serialized)
struct RouterCostTests {
    /// Two replicas for each of four shards, as many requests in flight as 32 clients have.
    private static func steadyState(_ requests: Int) -> (nanoseconds: Double, allocations: Int) {
        var now: UInt64 = 1_000_000_000
        var router = RouterDecisions(
            RouterSettings(),
            topology: smallTopology(shards: 4, replicas: 2),
            seed: 1,
            now: now
        )
        var owed: [AttemptID] = []
        owed.reserveCapacity(64)
        var (started, allocations) = (0.0, 0)
        let warmUp = requests / 4
        for number in 0..<(warmUp + requests) {
            if number == warmUp {
                started = Self.processorTime
                allocations = CAllocationCounter_count()
            }
            now += 20_000
            if number % 100 == 0 {
                router.tick(now: now)
                while let action = router.nextAction() {
                    if case .ping(let replica, _) = action { router.pong(replica, now: now) }
                }
            }
            if case .send(let dispatch) = router.begin(.read, slot: number &* 7_919 & 16_383, now: now) {
                owed.append(dispatch.attempt)
            }
            if owed.count == 32 {
                for attempt in owed { _ = router.settle(attempt, .answered, now: now) }
                owed.removeAll(keepingCapacity: true)
            }
        }
        let nanoseconds = (Self.processorTime - started) / Double(requests)
        allocations = CAllocationCounter_count() - allocations
        #expect(router.counters.requests == UInt64(warmUp + requests))
        return (nanoseconds, allocations)
    }

    /// Nanoseconds that this thread has run.
    private static var processorTime: Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
    }

    @Test("a request costs no allocation, and far less than a microsecond")
    func steady() {
        let (nanoseconds, allocations) = Self.steadyState(400_000)
        print("router: \(nanoseconds) ns for begin and settle of a request, \(allocations) allocations in 400,000")
        #expect(allocations == 0)
        // About 150.
        #expect(nanoseconds < 1_000)
    }

    @Test("retries, hedges and deadlines allocate nothing either")
    func troubled() {
        var now: UInt64 = 1_000_000_000
        var settings = RouterSettings()
        settings.retriesPerThousand = 1_000
        settings.hedgesPerThousand = 1_000
        var router = RouterDecisions(settings, topology: smallTopology(shards: 2, replicas: 3), seed: 1, now: now)
        var sent: [AttemptID] = []
        sent.reserveCapacity(4_096)
        var before = 0
        for step in 0..<20_000 {
            if step == 10_000 { before = CAllocationCounter_count() }
            now += 1_000_000
            router.tick(now: now)
            while let action = router.nextAction() {
                switch action {
                case .ping(let replica, _): router.pong(replica, now: now)
                case .send(let dispatch): sent.append(dispatch.attempt)
                default: break
                }
            }
            let kind: RequestKind = step % 3 == 0 ? .idempotentEvent : .read
            if case .send(let dispatch) = router.begin(kind, slot: step % 16_384, now: now) {
                if step % 31 == 0 {
                    sent.append(dispatch.attempt)
                } else if step % 4 == 0, case .resend(let next) = router.settle(dispatch.attempt, .lost, now: now) {
                    _ = router.settle(next.attempt, .answered, now: now + 500_000)
                } else {
                    _ = router.settle(dispatch.attempt, .answered, now: now + 500_000)
                }
            }
            // Answered so late that they are hedged, sent again, and in the end given up.
            if step % 300 == 0 {
                for attempt in sent { _ = router.settle(attempt, .answered, now: now) }
                sent.removeAll(keepingCapacity: true)
            }
        }
        let allocations = CAllocationCounter_count() - before
        let counters = router.counters
        #expect(counters.retries > 100 && counters.hedges > 100, "\(counters)")
        #expect(counters.timeouts > 10 && counters.lateReplies > 100, "\(counters)")
        #expect(allocations == 0, "\(counters)")
    }
}
