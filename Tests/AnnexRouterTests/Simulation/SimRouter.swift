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

    init(_ world: SimWorld, _ settings: RouterSettings, _ topology: ClusterTopology, fault: RouterFault?) {
        self.world = world
        self.decisions = RouterDecisions(
            settings,
            topology: topology,
            seed: world.random.next(),
            now: world.clock.now,
            fault: fault
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
        let (kind, slot) = (request.kind, request.slot)
        switch self.decisions.begin(kind, slot: slot, deadline: request.deadline, now: self.world.clock.now) {
        case .refuse(let failure): self.end(request, .failed(failure))
        case .send(let dispatch):
            self.sent.requests += 1
            if kind == .read { self.sent.reads += 1 }
            if self.requests.updateValue(request, forKey: dispatch.request.index) != nil {
                self.world.violate("a request was given the place of one that has not ended")
            }
            self.send(dispatch)
        }
        self.act()
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
        case .first: break
        case .retry, .redirect: self.extras.retries += 1
        case .hedge: self.extras.hedges += 1
        }
        request.sendings.append(SimRequest.Sending(replica: dispatch.replica, reason: dispatch.reason))
        let sending = SimSending(dispatch, request, request.sendings.count - 1)
        self.connection(dispatch.replica, request.kind).send(sending)
        self.mostOwed = max(self.mostOwed, self.decisions.owed(by: dispatch.replica))
    }

    func settle(_ sending: SimSending, _ outcome: Outcome) {
        sending.request.sendings[sending.ordinal].outcome = outcome
        switch self.decisions.settle(sending.attempt, outcome, now: self.world.clock.now) {
        case .drop, .keep: break
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
            case .fail(let id, let failure): self.end(id, .failed(failure))
            case .deliverKept(let id): self.end(id, .reply(.answered))
            case .ping(let replica, let fresh): self.healthConnection(replica).ping(fresh: fresh)
            case .reset(let replica): self.closeData(replica)
            case .retired(let replica):
                self.closeData(replica)
                self.healthConnection(replica).close()
                self.forget(replica)
            case .health(_, let change):
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

    private func connection(_ replica: Int, _ kind: RequestKind) -> SimDataConnection {
        let isRead = kind == .read
        if let found = self.data.first(where: { $0.replica == replica && $0.isRead == isRead }) { return found }
        let connection = SimDataConnection(
            self,
            self.world.replica(at: self.decisions.address(of: replica)),
            replica,
            isRead
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

    private func closeData(_ replica: Int) {
        for connection in self.data where connection.replica == replica { connection.close() }
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
