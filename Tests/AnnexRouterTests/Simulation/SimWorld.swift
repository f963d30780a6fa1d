import AnnexCore
import AnnexLog
import AnnexRouter

/// A cluster in which everything but the two machines is simulated: a router, shards with replicas, a log, clients, and what
/// goes wrong.
final class SimWorld {
    let plan: SimPlan
    let clock = SimClock()
    var random: SeededRandom
    let log: SimLog
    private(set) var replicas: [SimReplica] = []
    private var routers: [SimRouter] = []
    private(set) var requests: [SimRequest] = []
    let flaw: SimFlaw?
    private var isWithout: Int?

    private(set) var violations: [String] = []
    private(set) var injected: [FaultKind: Int] = [:]
    var ejections = 0
    var returns = 0
    /// Since the start.
    var healthChanges = 0
    /// When the first PINGs and the first look at the log were answered: until then a cluster is only starting.
    private(set) var start: UInt64 = 0
    /// When shard 0 (or a replica of it) went away, for the plans that are about that.
    var departed: UInt64?
    var healed: UInt64?
    /// When the replicas of shard 0 served again, for the plan that is about that.
    var fitAgain: UInt64?
    lazy var checks = SimChecks(self)

    init(_ plan: SimPlan, flaw: SimFlaw? = nil) {
        self.plan = plan
        self.random = SeededRandom(seed: plan.seed &* 31 &+ 7)
        self.flaw = flaw
        self.log = SimLog(self.clock, answerLimit: plan.replication.readCount)
        for number in 0..<(plan.shards * plan.replicasPerShard) {
            self.replicas.append(SimReplica(self, number: number, shard: number / plan.replicasPerShard))
        }
        self.routers = [SimRouter(self, plan.settings, self.topology(epoch: 1))]
    }

    var router: SimRouter { self.routers[0] }

    /// Breaks the cycles of references.
    func dismantle() {
        self.clock.clear()
        self.routers = []
        self.replicas = []
    }

    // MARK: - What the parts ask

    func slots(_ shard: Int) -> SlotSet { self.plan.slots[shard] }

    func replica(at address: ClusterTopology.Address) -> SimReplica {
        self.replicas.first { $0.address == address } ?? self.replicas[0]
    }

    func makeMachine(shard: Int, marks: [LogMark]) -> SimReplica.Machine {
        return SimReplica.Machine(
            origin: EntryKey.Origin(high: self.random.next(), low: self.random.next()),
            blocks: (0..<Slot.blockCount).filter { self.follows(shard, $0) },
            marks: marks,
            settings: self.plan.replication
        )
    }

    func follows(_ shard: Int, _ block: Int) -> Bool {
        self.slots(shard).ranges.contains { $0.overlaps((block << 10)...(block << 10 + 1_023)) }
    }

    func violate(_ text: String) {
        if self.violations.count < 1_000 {
            self.violations.append("at \(Double(self.clock.now / 1_000) / 1_000_000) s: \(text)")
        }
    }

    func count(_ kind: FaultKind, _ times: Int = 1) { self.injected[kind, default: 0] += times }

    // MARK: - Run

    func run() {
        self.start = self.clock.now + milliseconds(700)
        self.scheduleClients()
        for _ in 0..<self.plan.greed { self.repeatHeavyRead() }
        for fault in self.plan.faults {
            self.clock.at(self.clock.now + fault.start) { [self] in self.inject(fault) }
        }
        self.clock.run(until: self.clock.now + SimPlan.warmUp + SimPlan.storm)
        self.heal()
        self.checks.settleDown()
        self.checks.after()
    }

    /// Clients ask until there is nothing more to see.
    private func scheduleClients() {
        let pause = UInt64(self.random.below(2 * self.plan.interval)) + 1
        self.clock.after(pause) { [self] in
            if self.checks.isOver { return }
            self.ask()
            self.scheduleClients()
        }
    }

    func ask() {
        let kind: RequestKind =
            switch self.random.below(20) {
            case 0..<9: .read
            case 9: .heavyRead
            case 10..<16: .event
            default: .idempotentEvent
            }
        let work = kind == .heavyRead ? milliseconds(1 + self.random.below(40)) : 0
        let slot = self.plan.busySlots.randomElement(using: &self.random) ?? self.random.below(Slot.count)
        self.ask(kind, client: UInt64(self.random.below(5)), work: work, slot: slot)
    }

    @discardableResult
    private func ask(_ kind: RequestKind, client: UInt64, work: UInt64, slot: Int) -> SimRequest {
        let request = SimRequest(
            number: self.requests.count,
            kind: kind,
            client: client,
            work: work,
            slot: slot,
            began: self.clock.now,
            deadline: self.clock.now + self.plan.settings.deadline(of: kind)
        )
        self.requests.append(request)
        self.router.begin(request)
        return request
    }

    /// The worst that one client may do: what takes long, again as soon as it is answered.
    private func repeatHeavyRead() {
        let request = self.ask(
            .heavyRead,
            client: SimPlan.greedyClient,
            work: milliseconds(200 + self.random.below(60)),
            slot: self.random.below(Slot.count)
        )
        self.repeatWhenAnswered(request)
    }

    private func repeatWhenAnswered(_ request: SimRequest) {
        self.clock.after(milliseconds(2)) { [self] in
            if self.checks.isOver { return }
            if request.end == nil { self.repeatWhenAnswered(request) } else { self.repeatHeavyRead() }
        }
    }

    func topology(epoch: Int) -> ClusterTopology {
        ClusterTopology(
            epoch: epoch,
            shards: self.plan.slots.enumerated().map { shard, slots in
                ClusterTopology.Shard(
                    name: "\(shard)",
                    slots: slots,
                    replicas: self.replicas.filter { $0.shard == shard && $0.number != self.isWithout }.map(\.address)
                )
            }
        )
    }

    func leaveOut(_ replica: Int?, epoch: Int) {
        self.isWithout = replica
        self.router.adopt(self.topology(epoch: epoch))
    }

    func shard(of slot: Int) -> Int { self.plan.slots.firstIndex { $0.contains(slot) } ?? 0 }
}
