import AnnexCore
import AnnexRouter

/// The sockets of a router, with the real decisions behind them.
final class SimRouter {
    /// Also how late a deadline may be noticed.
    static let tick = milliseconds(5)

    let world: SimWorld
    var decisions: RouterDecisions
    /// What a request's place in the table stands for now.
    private var requests: [Int32: SimRequest] = [:]
    private var data: [SimDataConnection] = []
    private var health: [SimHealthConnection] = []
    private(set) var extras: (retries: Int, hedges: Int) = (0, 0)
    private(set) var sent: (requests: Int, reads: Int) = (0, 0)
    private(set) var mostOwed = 0

    private(set) var waits = 0
    private(set) var mostHeavy = 0

    private var flaw: SimFlaw? { self.world.flaw }

    init(
        _ world: SimWorld,
        _ settings: RouterSettings,
        _ topology: ClusterTopology
    ) {
        self.world = world
        var settings = settings
        if world.flaw == .ignoresBudget { settings.retryReserve = 1_000_000 }
        self.decisions = RouterDecisions(
            settings,
            topology: topology,
            seed: world.random.next(),
            now: world.clock.now
        )
        self.beat()
    }

    private func beat() {
        self.decisions.tick(now: self.world.clock.now)
        self.act()
        self.world.clock.after(Self.tick) { [self] in self.beat() }
    }

    // MARK: - Requests

    func begin(_ request: SimRequest) {
        if self.flaw == .panicCountsAllShards, self.isRefusedByOldRule(request) {
            return self.end(request, .failed(.shardDown))
        }
        let decision = self.decisions.begin(
            self.kindSent(request),
            slot: request.slot,
            client: request.client,
            deadline: request.deadline,
            now: self.world.clock.now
        )
        switch decision {
        case .refuse(let failure): self.end(request, .failed(failure))
        case .wait(let id):
            self.waits += 1
            self.take(request, id)
        case .send(let dispatch):
            self.take(request, dispatch.request)
            self.send(dispatch)
        }
        self.act()
    }

    private func kindSent(_ request: SimRequest) -> RequestKind {
        switch (self.flaw, request.kind) {
        case (.heavyTravelsWithOthers, .heavyRead): .read
        case (.repeatsEvents, .event): .idempotentEvent
        default: request.kind
        }
    }

    private func isRefusedByOldRule(_ request: SimRequest) -> Bool {
        func areOut(_ shard: Int) -> Int {
            self.decisions.replicas(of: shard).count { self.decisions.health(of: $0).state == .ejected }
        }
        let shard = self.world.shard(of: request.slot)
        let shards = 0..<self.world.plan.shards
        let all = shards.reduce(0) { $0 + self.decisions.replicas(of: $1).count }
        return areOut(shard) == self.decisions.replicas(of: shard).count
            && shards.reduce(0) { $0 + areOut($1) } * 2 <= all
    }

    private func take(_ request: SimRequest, _ id: RequestID) {
        self.sent.requests += 1
        if self.kindSent(request) == .read { self.sent.reads += 1 }
        request.id = id
        if self.requests.updateValue(request, forKey: id.index) != nil {
            self.world.violate("a request was given the place of one that has not ended")
        }
    }

    func cancelOne() -> Bool {
        guard let (index, request) = self.requests.min(by: { $0.key < $1.key }), let id = request.id else {
            return false
        }
        self.requests[index] = nil
        self.decisions.cancel(id)
        self.end(request, .cancelled)
        return true
    }

    private func send(_ dispatch: Dispatch) {
        guard let request = self.requests[dispatch.request.index] else {
            return self.world.violate("something was to be sent for a request that has ended")
        }
        request.id = dispatch.request
        self.world.checks.sending(dispatch, of: request)
        switch dispatch.reason {
        case .first, .knock: break
        case .retry, .redirect: self.extras.retries += 1
        case .hedge: self.extras.hedges += 1
        }
        request.sendings.append(SimRequest.Sending(replica: dispatch.replica, reason: dispatch.reason))
        let sending = SimSending(dispatch, request, request.sendings.count - 1)
        self.connection(dispatch.replica, .init(self.kindSent(request))).send(sending)
        self.mostOwed = max(self.mostOwed, self.decisions.owed(by: dispatch.replica))
        let status = self.decisions.status(of: dispatch.replica, now: self.world.clock.now)
        self.mostHeavy = max(self.mostHeavy, status.heavyInFlight)
    }

    func settle(_ sending: SimSending, _ outcome: Outcome) {
        sending.request.sendings[sending.ordinal].outcome = outcome
        switch self.decisions.settle(sending.attempt, outcome, now: self.world.clock.now) {
        case .drop:
            if self.flaw == .deliversLateReplies, sending.request.end != nil, let id = sending.request.id {
                self.end(id, .reply(outcome), expected: sending.request)
            }
        case .keep: break
        case .deliverKept(let id): self.end(id, .reply(.answered), expected: sending.request)
        case .deliver(let id): self.end(id, .reply(outcome), expected: sending.request)
        case .resend(let dispatch): self.send(dispatch)
        case .fail(let id, let failure): self.end(id, .failed(failure), expected: sending.request)
        }
    }

    private func end(_ id: RequestID, _ end: SimRequest.End, expected: SimRequest? = nil) {
        guard let request = self.requests.removeValue(forKey: id.index), request.id == id else {
            return self.world.violate("a request ended that is not under way")
        }
        if let expected, expected !== request { self.world.violate("a request got the reply of another") }
        self.end(request, end)
    }

    private func end(_ request: SimRequest, _ end: SimRequest.End) {
        if request.end != nil { self.world.violate("request \(request.number) ended twice") }
        request.end = end
        request.ended = self.world.clock.now
    }

    // MARK: - Actions

    func act() {
        while let action = self.decisions.nextAction() {
            switch action {
            case .send(let dispatch): self.send(dispatch)
            case .fail(let id, let failure) where self.flaw == .forgetsDeadlines:
                self.world.clock.after(milliseconds(100)) { [self] in self.end(id, .failed(failure)) }
            case .fail(let id, let failure): self.end(id, .failed(failure))
            case .deliverKept(let id): self.end(id, .reply(.answered))
            case .ping(let replica, let fresh): self.healthConnection(replica).ping(fresh: fresh)
            case .reset(let replica): self.closeData(replica) { $0 != .heavy }
            case .resetHeavy(let replica): self.closeData(replica) { $0 == .heavy }
            case .retired(let replica):
                self.closeData(replica) { _ in true }
                self.healthConnection(replica).close()
                self.forget(replica)
            case .health(_, let change):
                if self.world.clock.now > self.world.start { self.world.healthChanges += 1 }
                if change.to == .ejected { self.world.ejections += 1 }
                if change.from == .probing, change.to == .healthy { self.world.returns += 1 }
            case .topologyIsStale: self.world.violate("nobody said MOVED")
            }
        }
    }

    func adopt(_ topology: ClusterTopology) {
        self.decisions.adopt(topology, now: self.world.clock.now)
        self.act()
    }

    // MARK: - Connections

    private func connection(_ replica: Int, _ lane: SimDataConnection.Lane) -> SimDataConnection {
        if let found = self.data.first(where: { $0.replica == replica && $0.lane == lane }) { return found }
        let connection = SimDataConnection(
            self,
            self.world.replica(at: self.decisions.address(of: replica)),
            replica,
            lane
        )
        self.data.append(connection)
        return connection
    }

    private func healthConnection(_ replica: Int) -> SimHealthConnection {
        if let found = self.health.first(where: { $0.replica == replica }) { return found }
        let process = self.world.replica(at: self.decisions.address(of: replica))
        self.health.append(SimHealthConnection(self, process, replica))
        return self.health[self.health.count - 1]
    }

    private func closeData(_ replica: Int, _ isMeant: (SimDataConnection.Lane) -> Bool) {
        for connection in self.data where connection.replica == replica && isMeant(connection.lane) {
            connection.close()
        }
    }

    private func forget(_ replica: Int) {
        self.data.removeAll { $0.replica == replica }
        self.health.removeAll { $0.replica == replica }
    }
}

/// An attempt on its way.
struct SimSending {
    let attempt: AttemptID
    let request: SimRequest
    let ordinal: Int
    /// Of a change, in milliseconds; nil for a read.
    let until: Int64?

    init(_ dispatch: Dispatch, _ request: SimRequest, _ ordinal: Int) {
        self.attempt = dispatch.attempt
        self.until = dispatch.expiresAt == .max ? nil : Int64(dispatch.expiresAt / 1_000_000)
        self.request = request
        self.ordinal = ordinal
    }
}
