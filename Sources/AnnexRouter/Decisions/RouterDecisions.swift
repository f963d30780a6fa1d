package import AnnexCore

/// Decides where each request goes, when it is sent again, and when it ends: everything a router does, apart from its
/// sockets.
///
/// Each event loop has one, which that loop alone uses. It knows no clock: `now` is a monotonic time in nanoseconds
/// that the caller read. It draws from its own seeded generator. So the same calls give the same decisions, and a
/// simulation can replay them.
///
/// How to drive it:
/// - Call `begin` with each request; write it where the decision says, and keep the attempt's id beside it, in the
///   order of writing on that connection. Reads, heavy reads and events go over connections of their own, as replies
///   come in order: a read would wait for the log.
/// - Call `settle` when the first bytes of a reply are there (before the whole: large replies are streamed), and for
///   every attempt that a broken connection took with it. Do what the verdict says. A reply that breaks off after it
///   was delivered in part is the caller's matter: the request has ended here.
/// - Call `tick` every few milliseconds, and `pong`, `gone` and `lost` as they happen; then take `nextAction()` until
///   it is nil, after `begin` and `settle` as well: rows of requests that an action ends are used again by the next
///   `begin`.
///
/// A request ends exactly once: by a refusal, by `.deliver`, or by `.fail` as verdict or action, and no later than at
/// the first tick after its deadline. No memory is allocated once the tables have grown to what is in flight at the
/// most, which `inFlightPerReplica` bounds; `begin` and `settle` are O(replicas of the shard).
package struct RouterDecisions: ~Copyable {
    package let settings: RouterSettings
    package internal(set) var topology: ClusterTopology
    package internal(set) var counters = RouterCounters()

    var requests = SlotTable<PendingRequest>(reserving: 1_024)
    var owed = SlotTable<OwedReply>(reserving: 1_024)
    var timers: TimerWheel
    var due: [Int32] = []
    /// Heavy reads that wait for their turn, by shard.
    var waiting: [WaitingReads] = []
    /// Holds a request that has to make room for another one.
    var displaced: Int32?

    var replicas: [KnownReplica] = []
    /// Lists the replicas of each shard, as positions in `replicas`.
    var members: [[Int]] = []
    /// Lists places in `replicas` whose replica has left for good.
    var freePlaces: [Int] = []

    /// Holds the time from which a read counts as slow, by shard. It is `.max` until enough is known.
    var hedgeDelays: [UInt64] = []
    var nextRefresh: UInt64
    var scratch = LatencyEstimate()

    var retryBudget: ShareBudget
    var hedgeBudget: ShareBudget
    var opinionBudget: ShareBudget
    var random: SeededRandom

    var actions: [Action] = []
    var taken = 0
    var nextStaleNotice: UInt64 = 0

    /// - Parameters:
    ///   - seed: of what is drawn: which of equally good replicas is taken, and when exactly a PING goes out.
    ///   - now: nanoseconds, monotonic.
    package init(
        _ settings: RouterSettings,
        topology: ClusterTopology,
        seed: UInt64,
        now: UInt64,
    ) {
        self.settings = settings.checked
        self.topology = ClusterTopology(epoch: 0, shards: [])
        self.timers = TimerWheel(now: now)
        self.nextRefresh = now
        self.retryBudget = ShareBudget(
            perThousand: settings.retriesPerThousand,
            reserve: settings.retryReserve,
            burst: settings.retryBurst
        )
        self.hedgeBudget = ShareBudget(
            perThousand: settings.hedgesPerThousand,
            reserve: 0,
            burst: settings.hedgeBurst
        )
        self.opinionBudget = ShareBudget(
            perThousand: settings.opinionsPerThousand,
            reserve: settings.retryReserve,
            burst: settings.retryBurst
        )
        self.random = SeededRandom(seed: seed)
        self.adopt(topology, now: now)
    }

    /// Decides about a new request.
    ///
    /// - Parameters:
    ///   - slot: of the key; nil where any shard can answer.
    ///   - prefer: of a change, the replica that gets it as long as it can be asked at all: it has those before it, which
    ///     must not be overtaken. Of a read, the one that is taken where it is as good as any other.
    ///   - client: who asks: heavy reads of different clients take turns.
    ///   - deadline: instead of the settings' one, which is counted from now.
    package mutating func begin(
        _ kind: RequestKind,
        slot: Int?,
        prefer: Int? = nil,
        client: UInt64 = 0,
        deadline: UInt64? = nil,
        now: UInt64
    ) -> Decision {
        let end = deadline ?? now.saturatingAdd(self.settings.deadline(of: kind))
        // A change must have time to be carried out, and be known to be over when the request is.
        guard end > (kind.isRead ? now : now.saturatingAdd(2 * self.settings.clockBound)) else {
            return self.refuse(.timedOut)
        }
        var request = PendingRequest(kind: kind, slot: Int32(clamping: slot ?? -1), deadline: end, client: client)
        if kind == .heavyRead { return self.beginHeavy(request, now) }
        let replica: Int
        switch self.choose(for: request, prefer: prefer, now) {
        case .replica(let found, _): replica = found
        case .none(let failure): return self.refuse(failure)
        }

        if kind != .event { request.nudgeAt = now + (end - now) / 2 }
        self.counters.requests += 1
        self.retryBudget.payIn()
        if !kind.isRead { self.opinionBudget.payIn() }
        if kind == .read {
            self.counters.reads += 1
            self.hedgeBudget.payIn()
            let shard = self.replicas[replica].shard
            if self.settings.isHedging, shard >= 0 { request.hedgeAt = now.saturatingAdd(self.hedgeDelays[shard]) }
        }
        let wake = request.nextWake
        let (index, _) = self.requests.insert(request)
        self.timers.set(index, to: wake, &self.requests)
        return .send(self.send(index, to: replica, .first, now))
    }

    mutating func refuse(_ failure: Failure) -> Decision {
        self.counters.refusals += 1
        return .refuse(failure)
    }

    /// Forgets a request whose client has gone. What replicas still owe for it is dropped when it comes.
    package mutating func cancel(_ request: RequestID) {
        guard self.requests.holds(request.index, request.generation) else { return }
        self.end(request.index)
    }

    /// An attempt was not made after all, as its client has gone. It says nothing about the replica.
    package mutating func withdraw(_ attempt: AttemptID) {
        if self.owed.holds(attempt.index, attempt.generation) { self.release(attempt.index) }
    }

    /// Tells whether a request has not ended.
    package func isPending(_ request: RequestID) -> Bool {
        self.requests.holds(request.index, request.generation)
    }

    /// Heavy reads that wait for their turn.
    package var waitingHeavyReads: Int { self.waiting.reduce(0) { $0 + $1.count } }

    /// Counts requests that have not ended.
    package var pending: Int { self.requests.count }

    /// Replies that are owed, by all replicas.
    package var owedReplies: Int { self.owed.count }

    // MARK: - Attempts

    mutating func send(_ index: Int32, to replica: Int, _ reason: Dispatch.Reason, _ now: UInt64) -> Dispatch {
        let kind = self.requests[index].kind
        let queue = OwedQueue.of(kind)
        let before = self.replicas[replica].queues[queue].newest
        let expiresAt = self.expiry(of: index, now)
        let ordinal = self.requests[index].sent
        let (row, generation) = self.owed.insert(
            OwedReply(
                request: index,
                ordinal: ordinal,
                replica: Int32(replica),
                kind: kind,
                sentAt: now,
                expiresAt: expiresAt,
                before: before
            )
        )
        if before >= 0 {
            self.owed[before].after = row
        } else {
            self.replicas[replica].queues[queue].oldest = row
            self.replicas[replica].queues[queue].oldestSentAt = now
        }
        self.replicas[replica].queues[queue].newest = row
        self.replicas[replica].queues[queue].count += 1
        self.requests[index].tried[ordinal] = Int32(replica)
        self.requests[index].attempts[ordinal] = row
        self.requests[index].sent += 1
        self.requests[index].underWay += 1
        if self.replicas[replica].health.state == .ejected { self.counters.lastResorts += 1 }
        if self.replicas[replica].health.isGone {
            self.replicas[replica].nextKnock = now.saturatingAdd(self.settings.knockInterval)
        }
        return Dispatch(
            request: RequestID(index: index, generation: self.requests.generation(index)),
            attempt: AttemptID(index: row, generation: generation),
            replica: replica,
            reason: reason,
            expiresAt: expiresAt
        )
    }

    /// Returns when an attempt that is made now must not be carried out any more: before another can be made, and
    /// before the request ends. Of a change no two attempts can be carried out at one time, so that who has an answer
    /// knows that nothing follows.
    private mutating func expiry(of index: Int32, _ now: UInt64) -> UInt64 {
        switch self.requests[index].kind {
        case .read: return .max
        case .heavyRead: return self.requests[index].deadline
        case .event, .idempotentEvent: break
        }
        let bound = self.settings.clockBound
        // Where time is too short for an attempt that another is to follow, none follows.
        if self.requests[index].nudgeAt < now.saturatingAdd(2 * bound) { self.requests[index].nudgeAt = .max }
        return min(self.requests[index].deadline, self.requests[index].nudgeAt).since(bound)
    }

    /// Tells whether an attempt of a change, made after the one of that ordinal, may still be carried out.
    func mayBeCarriedOut(_ index: Int32, behind ordinal: Int, _ now: UInt64) -> Bool {
        guard !self.requests[index].kind.isRead else { return false }
        if self.requests[index].aliveUntil > now { return true }
        for attempt in 0..<self.requests[index].sent where attempt != ordinal {
            let row = self.requests[index].attempts[attempt]
            if row >= 0, self.owed[row].expiresAt.saturatingAdd(self.settings.clockBound) > now { return true }
        }
        return false
    }

    /// Takes a reply off what its replica owes.
    mutating func release(_ row: Int32) {
        let reply = self.owed[row]
        let replica = Int(reply.replica)
        let queue = OwedQueue.of(reply.kind)
        if reply.before >= 0 {
            self.owed[reply.before].after = reply.after
        } else {
            self.replicas[replica].queues[queue].oldest = reply.after
            self.replicas[replica].queues[queue].oldestSentAt = reply.after >= 0 ? self.owed[reply.after].sentAt : .max
        }
        if reply.after >= 0 {
            self.owed[reply.after].before = reply.before
        } else {
            self.replicas[replica].queues[queue].newest = reply.before
        }
        self.replicas[replica].queues[queue].count -= 1
        self.owed.remove(row)
        if self.replicas[replica].inFlight == 0, self.replicas[replica].shard < 0 { self.retire(replica) }
    }

    /// Ends a request: nobody waits for what is still owed.
    mutating func end(_ index: Int32) {
        for attempt in 0..<self.requests[index].sent {
            let row = self.requests[index].attempts[attempt]
            if row >= 0 { self.owed[row].request = -1 }
        }
        self.stopWaiting(index)
        self.timers.clear(index, &self.requests)
        self.requests.remove(index)
    }

    func id(_ index: Int32) -> RequestID { RequestID(index: index, generation: self.requests.generation(index)) }

    // MARK: - Actions

    package var hasActions: Bool { self.taken < self.actions.count }

    /// Returns the next action that the machine wants done; nil when there is none.
    package mutating func nextAction() -> Action? {
        guard self.taken < self.actions.count else {
            self.actions.removeAll(keepingCapacity: true)
            self.taken = 0
            return nil
        }
        self.taken += 1
        return self.actions[self.taken - 1]
    }
}
