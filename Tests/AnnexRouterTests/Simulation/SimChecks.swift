import AnnexCore
import AnnexLog
import AnnexRouter

/// What must hold in every schedule.
final class SimChecks {
    private unowned let world: SimWorld
    /// Clients have stopped.
    private(set) var isOver = false
    /// All has healed: from here on every request must be answered.
    private var calm: UInt64?
    private var readings = 0

    init(_ world: SimWorld) { self.world = world }

    // MARK: - While it runs

    /// Of each request as it is sent.
    func sending(_ dispatch: Dispatch, of request: SimRequest) {
        var what: String { "\(request.kind) \(request.number)" }
        if request.end != nil { self.world.violate("\(what) was sent after its end") }
        guard let last = request.sendings.last else {
            if dispatch.reason != .first { self.world.violate("\(what) was first sent as a \(dispatch.reason)") }
            return
        }
        if dispatch.reason == .first { self.world.violate("\(what) was sent a second time as if it were the first") }
        if dispatch.reason == .hedge, request.kind != .read { self.world.violate("\(what) was hedged") }
        if request.kind == .heavyRead { self.sendingAgain(request) }
        if self.world.clock.now >= request.deadline { self.world.violate("\(what) was sent after its deadline") }
        if request.kind == .event {
            switch last.outcome {
            case .unavailable, .overloaded, .unsent, .moved: break
            default: self.world.violate("\(what) was sent again although it may be stored")
            }
        }
        guard request.sendings.contains(where: { $0.replica == dispatch.replica }) else { return }
        let router = self.world.router
        for other in router.decisions.replicas(of: self.world.shard(of: request.slot)) {
            let status = router.decisions.status(of: other, now: self.world.clock.now)
            let isFree =
                status.inFlight < self.world.plan.settings.inFlightPerReplica && status.oldestOwed < milliseconds(100)
                && (request.kind != .heavyRead || status.heavyInFlight < self.world.plan.settings.heavyInFlight)
            if status.state == .healthy, isFree, !request.sendings.contains(where: { $0.replica == other }) {
                self.world.violate("\(what) was sent twice to one replica although another is healthy")
            }
        }
    }

    /// A heavy read is sent again only where its replica refused it, was lost, or was left out.
    private func sendingAgain(_ request: SimRequest) {
        for sending in request.sendings where sending.outcome == nil {
            if self.world.router.decisions.health(of: sending.replica).state != .ejected {
                self.world.violate("heavyRead \(request.number) was sent again while it was under way")
            }
        }
    }

    /// A replica that says that it has applied an event has it on disk; and so has the log.
    func acknowledging(_ change: SimChange, by replica: SimReplica) {
        if self.world.plan.acknowledgement == .replica, !replica.state.holds(change) {
            self.world.violate(
                "event \(change.id) was acknowledged by replica \(replica.number), which has not applied it"
            )
        }
        if !self.world.log.holds(change), !self.world.log.lost.contains(change.id) {
            self.world.violate("event \(change.id) was acknowledged and was not in the log")
        }
    }

    /// Who says how far it lags behind has all that is older.
    func reading(from replica: SimReplica) {
        self.readings += 1
        guard self.readings % 4 == 0, let lag = replica.machine.lag(at: self.world.clock.milliseconds) else { return }
        for block in 0..<Slot.blockCount where self.world.follows(replica.shard, block) {
            let mark = replica.state.marks[block].position
            let count = self.world.log.unread(block, behind: mark, before: self.world.clock.milliseconds - lag)
            if count > 0 {
                self.world.violate(
                    "replica \(replica.number) lags \(lag) ms, it says; \(count) older events are missing"
                )
            }
        }
    }

    // MARK: - After the faults

    /// Lets the cluster recover, lets clients ask a little longer, and lets what is under way come to its end.
    func settleDown() {
        let clock = self.world.clock
        let limit = clock.now + milliseconds(15_000)
        while !self.hasRecovered, clock.now < limit { clock.run(until: clock.now + milliseconds(100)) }
        if !self.hasRecovered {
            self.world.violate("it has not recovered in 15 s: " + self.reasons.joined(separator: "; "))
        }
        self.calm = clock.now
        clock.run(until: clock.now + milliseconds(400))
        self.isOver = true
        // A heavy read may be sent just before its deadline, behind others.
        clock.run(until: clock.now + milliseconds(2_400))
    }

    private var hasRecovered: Bool { self.reasons.isEmpty }

    private var reasons: [String] {
        let router = self.world.router
        var reasons: [String] = []
        for shard in 0..<self.world.plan.shards {
            for number in router.decisions.replicas(of: shard) {
                let status = router.decisions.status(of: number, now: self.world.clock.now)
                if status.oldestOwed > milliseconds(20) { reasons.append("\(status.address) owes an old reply") }
                if status.state != .healthy { reasons.append("\(status.address) is \(status.state)") }
            }
        }
        for replica in self.world.replicas {
            if replica.backlog > milliseconds(5) { reasons.append("replica \(replica.number) has a backlog") }
            if !replica.hasGivenUp, replica.machine.phase != .following {
                reasons.append("replica \(replica.number): \(replica.machine.phase)")
            }
            if let reason = replica.machine.stallReason { reasons.append("replica \(replica.number) rests: \(reason)") }
        }
        return reasons
    }

    // MARK: - In the end

    func after() {
        let router = self.world.router
        if router.decisions.pending != 0 { self.world.violate("\(router.decisions.pending) requests never ended") }
        if router.decisions.owedReplies != 0 {
            self.world.violate("\(router.decisions.owedReplies) replies are owed although all is quiet")
        }
        if router.mostOwed > self.world.plan.settings.inFlightPerReplica {
            self.world.violate("a replica owed \(router.mostOwed) replies at a time")
        }
        if router.mostHeavy > self.world.plan.settings.heavyInFlight {
            self.world.violate("a replica owed \(router.mostHeavy) heavy reads at a time")
        }
        self.checkBudgets(router)
        for request in self.world.requests { self.checkEnd(request) }
        self.checkStates()
        self.checkShape()
    }

    private func checkBudgets(_ router: SimRouter) {
        let settings = self.world.plan.settings
        let retries = Double(router.sent.requests * settings.retriesPerThousand) / 1_000 + Double(settings.retryReserve)
        if Double(router.extras.retries) > retries {
            self.world.violate("\(router.extras.retries) retries of \(router.sent.requests) requests")
        }
        if Double(router.extras.hedges) > Double(router.sent.reads * settings.hedgesPerThousand) / 1_000 {
            self.world.violate("\(router.extras.hedges) hedges of \(router.sent.reads) reads")
        }
    }

    private func checkEnd(_ request: SimRequest) {
        var what: String { "\(request.kind) \(request.number)" }
        guard let end = request.end else { return self.world.violate("\(what) never ended") }
        if request.ended > request.deadline + SimRouter.tick { self.world.violate("\(what) ended after its deadline") }
        if request.kind.isRead, end == .failed(.timedOutMaybeStored) || end == .failed(.lostMaybeStored) {
            self.world.violate("\(what) ended as \(end)")
        }
        // So few replies may be owed in some plans that clients are too many for them.
        let isCrowded =
            (self.world.plan.settings.inFlightPerReplica < 100 && end == .failed(.overloaded))
            || (self.world.plan.replication.pendingLimit < 100 && end == .reply(.overloaded))
        let mayBeRefused = self.world.plan.shape == .logDamaged && !request.kind.isRead
        if let calm, request.began > calm, !request.isAnswered, !isCrowded, !mayBeRefused, !self.mayWait(request) {
            self.world.violate("\(what) ended as \(end) although all had recovered")
        }
    }

    /// Heavy reads wait for each other.
    private func mayWait(_ request: SimRequest) -> Bool {
        request.kind == .heavyRead
            && (request.end == .failed(.overloaded) || self.world.plan.greed > 0 && request.end == .failed(.timedOut))
    }

    /// Each replica has exactly what the log has for its slots, in its order; what was acknowledged is there, what was refused
    /// is not, and an event that may not be repeated is there once.
    private func checkStates() {
        var times = [Int](repeating: 0, count: self.world.requests.count)
        for stream in self.world.log.counting {
            for entry in stream { times[entry.entry.change.id] += 1 }
        }
        for request in self.world.requests {
            let count = times[request.number]
            var what: String { "\(request.kind) \(request.number)" }
            if request.isAcknowledged, count == 0, !self.world.log.lost.contains(request.number) {
                self.world.violate("\(what) was acknowledged and is not in the log")
            }
            if request.isRefused, count > 0 { self.world.violate("\(what) was refused and is in the log") }
            if request.kind == .event, count > 1 { self.world.violate("\(what) is in the log \(count) times") }
        }
        for replica in self.world.replicas {
            if replica.hasGivenUp, self.world.plan.shape != .logDamaged {
                self.world.violate("replica \(replica.number) has given up: \(replica.machine.phase)")
            }
            // One that knows that it cannot follow is restored from a snapshot.
            if !replica.hasGivenUp { self.checkState(of: replica) }
        }
    }

    private func checkState(of replica: SimReplica) {
        let (slots, streams) = (self.world.slots(replica.shard), self.world.log.counting)
        for block in 0..<Slot.blockCount {
            let expected = streams[block].map(\.entry.change).filter { slots.contains($0.slot) }
            let found = replica.state.blocks[block]
            if found.map(\.id) != expected.map(\.id) {
                self.world.violate(
                    "replica \(replica.number) has \(found.count) events of block \(block), the log \(expected.count), "
                        + "or others, or in another order"
                )
            }
            let applied = found.filter { !$0.isRepeated }.map(\.id)
            if Set(applied).count != applied.count {
                self.world.violate("replica \(replica.number) applied an event twice in block \(block)")
            }
        }
    }

    // MARK: - What a plan is about

    private func checkShape() {
        if self.world.plan.shape == .greedy { self.checkGreedy() }
        guard let departed = self.world.departed, let healed = self.world.healed else { return }
        switch self.world.plan.shape {
        case .storm, .logDamaged, .greedy: break
        case .unfit: self.checkUnfit()
        case .shardGone: self.checkShardGone(from: departed, to: healed)
        case .replicaKilled, .replicaStopped: self.checkReplicaGone(from: departed)
        }
    }

    /// One client asks for as much as it can: others are answered, in time, and no replica is held to be worse.
    private func checkGreedy() {
        for request in self.world.requests where request.kind != .heavyRead && request.began > self.world.start {
            if !request.isAnswered {
                self.world.violate(
                    "\(request.kind) \(request.number) ended as \(String(describing: request.end)) beside a greedy client"
                )
            } else if request.ended - request.began > milliseconds(100) {
                self.world.violate("\(request.kind) \(request.number) waited for a greedy client")
            }
        }
        if self.world.healthChanges > 0 {
            self.world.violate("health changed \(self.world.healthChanges) times beside a greedy client")
        }
    }

    /// Replicas that were left out because they refused are asked as soon as they serve again.
    private func checkUnfit() {
        guard let fitAgain = self.world.fitAgain else { return }
        for request in self.world.requests where request.began > fitAgain + milliseconds(2) && !request.isAnswered {
            if self.mayWait(request) { continue }
            self.world.violate(
                "\(request.kind) \(request.number) ended as \(String(describing: request.end)) although its shard serves again"
            )
        }
    }

    /// The others never notice; its own clients soon get an answer at once.
    private func checkShardGone(from departed: UInt64, to healed: UInt64) {
        // Gone connections are seen at once, silence after three PINGs.
        let notice = departed + (self.world.plan.departure == .kill ? milliseconds(20) : milliseconds(1_100))
        for request in self.world.requests {
            var what: String { "\(request.kind) \(request.number)" }
            if self.world.shard(of: request.slot) != 0 {
                if self.mayWait(request) { continue }
                if request.began > self.world.start, !request.isAnswered {
                    self.world.violate("\(what) of a shard that is well ended as \(String(describing: request.end))")
                }
            } else if request.began > notice, request.began < healed {
                if request.ended - request.began > milliseconds(100) {
                    self.world.violate("\(what) waited for a shard that is gone")
                }
                // One that came just before tries to connect, and may find what has been started since.
                if request.ended < healed, request.end != .failed(.shardDown) {
                    self.world.violate("\(what) of a shard that is gone ended as \(String(describing: request.end))")
                }
            }
        }
    }

    /// With another replica alive no read fails and no event that may be repeated; other events only if they were there.
    private func checkReplicaGone(from departed: UInt64) {
        for request in self.world.requests where request.began > self.world.start && !request.isAnswered {
            if self.mayWait(request) { continue }
            let wasThere = request.kind == .event && request.sendings.contains { $0.replica == 0 }
            if wasThere, self.world.plan.shape == .replicaStopped || request.began <= departed + milliseconds(1) {
                continue
            }
            self.world.violate("\(request.kind) \(request.number) ended as \(String(describing: request.end))")
        }
    }
}
