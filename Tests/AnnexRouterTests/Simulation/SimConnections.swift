import AnnexRouter

/// A connection of the router that carries requests, made when there is something to send. Replies come in its order.
final class SimDataConnection {
    let replica: Int
    /// Which of the replica's connections it is.
    let lane: Lane
    private unowned let router: SimRouter
    private let process: SimReplica
    private var link: SimLink?
    private var server: SimServerConnection?
    private var owed: [SimSending] = []

    enum Lane {
        case reads, heavy, changes

        init(_ kind: RequestKind) {
            switch kind {
            case .read: self = .reads
            case .heavyRead: self = .heavy
            case .event, .idempotentEvent: self = .changes
            }
        }
    }

    init(_ router: SimRouter, _ process: SimReplica, _ replica: Int, _ lane: Lane) {
        self.router = router
        self.process = process
        self.replica = replica
        self.lane = lane
    }

    func send(_ sending: SimSending) {
        self.owed.append(sending)
        if self.link == nil { self.open() } else if self.server != nil { self.write(sending) }
    }

    private func open() {
        let link = SimLink(self.process.toRouter)
        self.link = link
        link.onServerClosed = { [self] in self.ended(link) }
        link.toServer { [self] in
            guard let server = self.process.accept(link) else { return link.closeByServer() }
            link.toClient { [self] in
                guard self.link === link else { return }
                self.server = server
                for sending in self.owed { self.write(sending) }
            }
        }
    }

    private func write(_ sending: SimSending) {
        guard let link = self.link, let server = self.server else { return }
        link.toServer { [self] in
            self.process.receive(sending.request, until: sending.until, on: server) { [self] outcome in
                guard self.link === link else { return }
                self.router.settle(self.owed.removeFirst(), outcome)
                self.router.act()
            }
        }
    }

    func close() {
        guard let link = self.link else { return }
        link.closeByClient()
        self.ended(link)
    }

    private func ended(_ link: SimLink) {
        guard self.link === link else { return }
        let outcome: Outcome = self.server == nil ? .unsent : .lost
        let owed = self.owed
        self.link = nil
        self.server = nil
        self.owed = []
        if self.lane != .heavy { self.router.decisions.lost(self.replica, now: self.router.world.clock.now) }
        for sending in owed { self.router.settle(sending, outcome) }
        self.router.act()
    }
}

/// The connection for PINGs.
final class SimHealthConnection {
    let replica: Int
    private unowned let router: SimRouter
    private let process: SimReplica
    private var link: SimLink?
    private var isOpen = false
    private var isPingWanted = false

    init(_ router: SimRouter, _ process: SimReplica, _ replica: Int) {
        self.router = router
        self.process = process
        self.replica = replica
    }

    func ping(fresh: Bool) {
        if fresh { self.close() }
        if self.link == nil { self.open() }
        if self.isOpen { self.write() } else { self.isPingWanted = true }
    }

    func close() {
        self.link?.closeByClient()
        self.link = nil
        self.isOpen = false
        self.isPingWanted = false
    }

    private func open() {
        let link = SimLink(self.process.toRouter)
        self.link = link
        link.onServerClosed = { [self] in
            guard self.link === link else { return }
            self.close()
            self.router.decisions.gone(self.replica, now: self.router.world.clock.now)
            self.router.act()
        }
        link.toServer { [self] in
            guard self.process.accept(link) != nil else { return link.closeByServer() }
            link.toClient { [self] in
                guard self.link === link else { return }
                self.isOpen = true
                if self.isPingWanted { self.write() }
            }
        }
    }

    private func write() {
        guard let link = self.link else { return }
        self.isPingWanted = false
        link.toServer { [self] in
            self.process.receivePing(link) { [self] in
                guard self.link === link else { return }
                let isOut = self.router.decisions.health(of: self.replica).state == .ejected
                if isOut, self.router.world.flaw == .takesNobodyBack { return }
                self.router.decisions.pong(self.replica, now: self.router.world.clock.now)
                self.router.act()
            }
        }
    }
}
