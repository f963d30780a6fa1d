import AnnexCore
import AnnexLog
import AnnexRouter

/// One process that serves a shard: the real replication machine over a simulated disk, log and network.
final class SimReplica {
    typealias Machine = ReplicationMachine<SimChange, Bool>

    let world: SimWorld
    let number: Int
    let shard: Int
    let address: ClusterTopology.Address
    let toLog: SimPath
    let toRouter: SimPath

    // What survives a kill.
    var state = SimState()

    // What does not.
    private(set) var isUp = false
    private(set) var isPaused = false
    /// Which run it is: what an earlier one planned does not happen.
    private(set) var run = 0
    private var inbox: [() -> Void] = []
    private var servers: [SimServerConnection] = []
    private var busyUntil: UInt64 = 0
    /// The thread of what takes long.
    private var workerBusyUntil: UInt64 = 0
    private var loadedAt: UInt64 = 0
    var machine: Machine
    var logLink: SimLink?
    var logConnection = 0
    /// Answers of the log so far.
    var heard = 0
    /// Events whose reply is owed: where it is to be written.
    private var waiting: [UInt64: (server: SimServerConnection, number: Int, change: SimChange)] = [:]
    private var nextToken: UInt64 = 1
    /// Tokens of changes that went to the log, and the one that is being dealt with.
    private var sent: Set<UInt64> = []
    private var current: UInt64 = 0
    var applying: [ApplyBatch<SimChange>] = []
    var isCommitting = false

    // Faults.
    var slowness: UInt64 = 0
    /// Entries of a hundred that cannot be stored.
    var failingShare = 0
    /// Refuses everything but PINGs.
    var isUnfit = false
    /// The next event that is applied loses its connection instead of being answered.
    var losesNextReply = false

    init(_ world: SimWorld, number: Int, shard: Int) {
        self.world = world
        self.number = number
        self.shard = shard
        self.address = ClusterTopology.Address(host: "replica-\(number)", port: 7_600)
        self.toLog = SimPath(world.clock, seed: world.random.next())
        self.toRouter = SimPath(world.clock, seed: world.random.next())
        self.machine = world.makeMachine(shard: shard, marks: self.state.marks)
        self.start()
    }

    // MARK: - Process

    func start() {
        self.run += 1
        self.isUp = true
        self.isPaused = false
        self.machine = self.world.makeMachine(shard: self.shard, marks: self.state.marks)
        self.loadedAt = self.world.clock.now + (self.run == 1 ? 0 : milliseconds(50))
        self.connectToLog()
        self.beat()
    }

    func kill() {
        self.run += 1
        self.isUp = false
        self.isPaused = false
        self.inbox = []
        for server in self.servers { server.link.closeByServer() }
        self.servers = []
        self.waiting = [:]
        self.applying = []
        self.isCommitting = false
        self.logLink?.closeByClient()
        self.logLink = nil
        self.busyUntil = 0
        self.workerBusyUntil = 0
    }

    func pause() { self.isPaused = true }

    func resume() {
        self.isPaused = false
        let inbox = self.inbox
        self.inbox = []
        for body in inbox { self.now(body) }
    }

    /// Happens in the process: when it runs again, if it is stopped.
    func now(_ body: @escaping () -> Void) {
        if self.isPaused { self.inbox.append(body) } else { body() }
    }

    /// The same later; never, if the process has ended by then.
    func after(_ delay: UInt64, _ body: @escaping () -> Void) {
        let run = self.run
        self.world.clock.after(delay) { [self] in
            if self.run == run { self.now { if self.run == run { body() } } }
        }
    }

    /// It found that the log is not the one that it followed.
    var hasGivenUp: Bool { if case .refusing = self.machine.phase { true } else { false } }

    /// How long a request that comes now waits.
    var backlog: UInt64 { self.busyUntil > self.world.clock.now ? self.busyUntil - self.world.clock.now : 0 }

    private func beat() {
        self.after(milliseconds(50)) { [self] in
            self.handle(.tick)
            self.beat()
        }
    }

    // MARK: - Requests

    /// Nil: nobody listens. A stopped process still has its connections accepted, by its kernel.
    func accept(_ link: SimLink) -> SimServerConnection? {
        guard self.isUp else { return nil }
        let server = SimServerConnection(link)
        self.servers.removeAll { !$0.link.isOpen }
        self.servers.append(server)
        return server
    }

    func receivePing(_ link: SimLink, _ pong: @escaping () -> Void) {
        let run = self.run
        self.now { [self] in if self.run == run { link.toClient(pong) } }
    }

    func receive(
        _ request: SimRequest,
        until: Int64?,
        on server: SimServerConnection,
        _ reply: @escaping (Outcome) -> Void
    ) {
        let number = server.expect(reply)
        let run = self.run
        self.now { [self] in
            guard self.run == run else { return }
            if request.work > 0 {
                self.workerBusyUntil = max(self.workerBusyUntil, self.world.clock.now) + request.work
                return self.after(self.workerBusyUntil - self.world.clock.now) { [self] in
                    self.serve(request, until, server, number)
                }
            }
            let service = microseconds(50 + self.world.random.below(200)) + self.slowness
            self.busyUntil = max(self.busyUntil, self.world.clock.now) + service
            self.after(self.busyUntil - self.world.clock.now) { [self] in self.serve(request, until, server, number) }
        }
    }

    private func serve(_ request: SimRequest, _ until: Int64?, _ server: SimServerConnection, _ number: Int) {
        guard self.world.clock.now >= self.loadedAt, !self.isUnfit else { return server.fill(number, .unavailable) }
        guard let change = request.change else {
            self.world.checks.reading(from: self)
            return server.fill(number, .answered)
        }
        let token = self.nextToken
        self.nextToken += 1
        self.waiting[token] = (server, number, change)
        self.current = token
        let (block, needsOutcome) = (Slot.block(of: change.slot), change.id % 5 == 0)
        self.handle(.change(token: token, block: block, change, needsOutcome: needsOutcome, until: until))
    }

    /// The change that just came goes to the log.
    func noteSent() { self.sent.insert(self.current) }

    func acknowledge(_ token: UInt64) {
        guard let (server, number, change) = self.waiting.removeValue(forKey: token) else {
            return self.world.violate("an event was answered twice by replica \(self.number)")
        }
        self.world.checks.acknowledging(change, by: self)
        if self.losesNextReply {
            self.losesNextReply = false
            self.world.count(.replyLost)
            server.link.break()
            return
        }
        server.fill(number, .answered)
    }

    func refuse(_ token: UInt64, _ reason: ReplicationRefusal) {
        guard let (server, number, change) = self.waiting.removeValue(forKey: token) else {
            return self.world.violate("an event was refused after its answer by replica \(self.number)")
        }
        guard reason.isStored == false else { return server.fill(number, .timedOut) }
        if case .expired = reason { return server.fill(number, .timedOut) }
        if self.sent.contains(token) {
            self.world.violate("event \(change.id) was refused as certainly not stored after it was sent to the log")
        }
        if case .overloaded = reason { return server.fill(number, .overloaded) }
        server.fill(number, .unavailable)
    }
}

/// A connection as the server sees it: replies leave in the order of the requests.
final class SimServerConnection {
    let link: SimLink
    private var replies: [(send: (Outcome) -> Void, outcome: Outcome?)] = []
    private var sent = 0

    init(_ link: SimLink) { self.link = link }

    func expect(_ reply: @escaping (Outcome) -> Void) -> Int {
        self.replies.append((reply, nil))
        return self.sent + self.replies.count - 1
    }

    func fill(_ number: Int, _ outcome: Outcome) {
        self.replies[number - self.sent].outcome = outcome
        while let first = self.replies.first, let outcome = first.outcome {
            self.link.toClient { first.send(outcome) }
            self.replies.removeFirst()
            self.sent += 1
        }
    }
}
