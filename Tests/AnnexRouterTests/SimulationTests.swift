import AnnexRouter
import Dispatch
import Foundation
import Synchronization
import Testing

/// The router's decisions and the replication of each replica, driven together through seeded schedules of faults.
///
/// `ANNEX_SIM_SEEDS` is how many (3,000; 10,000 a night), `ANNEX_SIM_FIRST` the first (1), `ANNEX_SIM_SEED` one alone, to replay
/// what failed.
@Suite("Simulation")
struct SimulationTests {
    static func number(_ name: String) -> UInt64? { ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } }

    @Test("nothing is lost, repeated or left hanging, whatever fails")
    func schedules() {
        let first = Self.number("ANNEX_SIM_SEED") ?? Self.number("ANNEX_SIM_FIRST") ?? 1
        let count = Self.number("ANNEX_SIM_SEED") != nil ? 1 : max(1, Self.number("ANNEX_SIM_SEEDS") ?? 3_000)
        let began = Date()
        let (sum, failures) = SimSum.run(first..<(first + count))
        for (seed, violations) in failures.sorted(by: { $0.seed < $1.seed }) {
            Issue.record(
                "seed \(seed) (ANNEX_SIM_SEED=\(seed) replays it): \(violations.prefix(20).joined(separator: "\n    "))"
            )
        }
        print(sum.report(seconds: Date().timeIntervalSince(began)))
        guard count >= 500, sum.failed == 0 else { return }
        for kind in FaultKind.allCases { #expect(sum.injected[kind, default: 0] > 0, "no fault of kind \(kind)") }
        #expect(sum.ejections > 0 && sum.returns > 0 && sum.retries > 0 && sum.hedges > 0 && sum.heavyWaits > 0)
    }

    @Test("a schedule is the same each time")
    func isRepeatable() {
        for seed in UInt64(1)...20 {
            var (first, second) = (SimSum(), SimSum())
            #expect(first.run(SimPlan(seed: seed)) == second.run(SimPlan(seed: seed)))
            #expect(first == second, "seed \(seed)")
        }
    }

    // MARK: - Bugs that must be found

    @Test(
        "each rule is found to be missing",
        arguments: [
            (SimFlaw.acknowledgesBeforeAppend, "acknowledged and is not in the log"),
            (.repeatsEvents, "may be stored"),
            (.ignoresBudget, "retries of"),
            (.forgetsDeadlines, "deadline"),
            (.takesNobodyBack, "it has not recovered"),
            (.deliversLateReplies, "a request ended that is not under way"),
            (.heavyTravelsWithOthers, "a greedy client"),
            (.panicCountsAllShards, "although its shard serves again"),
        ]
    )
    func flaws(_ flaw: SimFlaw, _ sign: String) {
        for seed in UInt64(1)...1_000 {
            var sum = SimSum()
            let violations = sum.run(SimPlan(seed: seed), flaw: flaw)
            if let found = violations.first(where: { $0.contains(sign) }) {
                return print("planted \(flaw): seed \(seed) finds: \(found)")
            }
        }
        Issue.record("1,000 seeds did not find it")
    }
}

/// What several schedules did together.
struct SimSum: Equatable {
    var schedules = 0
    var failed = 0
    var requests = 0
    var answered = 0
    var events = 0
    var retries = 0
    var hedges = 0
    var heavyReads = 0
    var heavyWaits = 0
    var ejections = 0
    var returns = 0
    var steps = 0
    var injected: [FaultKind: Int] = [:]

    typealias Failed = (seed: UInt64, violations: [String])

    /// Runs the schedules of many seeds, on a thread for each processor. Stops after five that failed.
    static func run(_ seeds: Range<UInt64>) -> (SimSum, [Failed]) {
        let all = Mutex((sum: SimSum(), next: seeds.lowerBound, failures: [Failed]()))
        DispatchQueue.concurrentPerform(iterations: ProcessInfo.processInfo.activeProcessorCount) { _ in
            while true {
                let seed: UInt64? = all.withLock { all in
                    guard all.next < seeds.upperBound, all.sum.failed < 5 else { return nil }
                    all.next += 1
                    return all.next - 1
                }
                guard let seed else { return }
                var one = SimSum()
                let violations = one.run(SimPlan(seed: seed))
                all.withLock { all in
                    all.sum.add(one)
                    if !violations.isEmpty { all.failures.append((seed, violations)) }
                }
            }
        }
        return all.withLock { ($0.sum, $0.failures) }
    }

    private mutating func add(_ other: SimSum) {
        self.schedules += other.schedules
        self.failed += other.failed
        self.requests += other.requests
        self.answered += other.answered
        self.events += other.events
        self.retries += other.retries
        self.hedges += other.hedges
        self.heavyReads += other.heavyReads
        self.heavyWaits += other.heavyWaits
        self.ejections += other.ejections
        self.returns += other.returns
        self.steps += other.steps
        self.injected.merge(other.injected) { $0 + $1 }
    }

    /// Returns what was violated.
    mutating func run(
        _ plan: SimPlan,
        flaw: SimFlaw? = nil
    ) -> [String] {
        let world = SimWorld(plan, flaw: flaw)
        world.run()
        self.schedules += 1
        if !world.violations.isEmpty { self.failed += 1 }
        self.requests += world.requests.count
        self.answered += world.requests.count { $0.isAnswered }
        self.events += world.log.streams.reduce(0) { $0 + $1.count }
        self.retries += world.router.extras.retries
        self.hedges += world.router.extras.hedges
        self.heavyReads += world.requests.count { $0.kind == .heavyRead }
        self.heavyWaits += world.router.waits
        self.ejections += world.ejections
        self.returns += world.returns
        self.steps += world.clock.done
        for (kind, count) in world.injected { self.injected[kind, default: 0] += count }
        world.dismantle()
        return world.violations
    }

    func report(seconds: Double) -> String {
        let faults = FaultKind.allCases.map { "\($0) \(self.injected[$0, default: 0])" }.joined(separator: ", ")
        return """
            simulation: \(self.schedules) schedules, \(self.failed) failed, \(self.steps) steps in \
            \((seconds * 10).rounded() / 10) s
              requests \(self.requests), answered \(self.answered), events in the log \(self.events), retries \
            \(self.retries), hedges \(self.hedges), heavy reads \(self.heavyReads), of which waited \(self.heavyWaits), ejections \(self.ejections), returns \(self.returns)
              faults: \(faults)
            """
    }
}
