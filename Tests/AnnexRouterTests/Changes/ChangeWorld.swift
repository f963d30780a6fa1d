import AnnexCore
import AnnexRouter

/// Clients whose changes meet, one router, the replicas of one shard and their log, in steps of a millisecond, with everything
/// that makes copies late: stopped replicas and a stopped log, lost connections whose bytes arrive all the same, clocks that are
/// apart. The decisions and the order of changes are the real ones.
struct ChangeWorld {
    /// What is taken out, to see that the world finds it.
    enum Without: Sendable { case nothing, expiry, order, boundedClocks }

    struct Change {
        let client: Int
        let subject: ChangeSubject
        let kind: RequestKind
        let began: Int
        var ticket: UInt64?
        var request: RequestID?
        var expiresAt = UInt64.max
        /// When it was answered, and how; nil: not yet.
        var end: (at: Int, outcome: Outcome)?
    }

    /// A copy of a change on its way.
    private struct Copy {
        let change: Int
        let attempt: AttemptID
        let replica: Int
        /// Of the connection that it came by: replies to an older one reach nobody.
        let connection: Int
        let until: UInt64
        var due: Int
    }

    struct Entry {
        let change: Int
        let at: Int
        let counts: Bool
    }

    private static let millisecond: UInt64 = 1_000_000
    private static let clients = 5
    private let without: Without
    private let bound: UInt64
    private let settings = RouterSettings()
    private var random: SeededRandom
    private var router: TestRouter
    private var orders: [ChangeOrder<Int>]
    private(set) var changes: [Change] = []
    private var byRequest: [RequestID: Int] = [:]
    private var releases: [(at: Int, change: Int)] = []

    private var inbox: [[Copy]]
    private var appends: [Copy] = []
    private var replies: [(copy: Copy, outcome: Outcome, due: Int)] = []
    private var owed: [Copy] = []
    private var connections: [Int]
    private var pausedUntil: [Int]
    private var cutOffUntil: [Int]
    private var logPausedUntil = 0
    private var logSkew = 0
    private(set) var log: [Entry] = []
    private(set) var now = 0
    private(set) var faults: [String: Int] = [:]
    private(set) var wrong: [String] = []

    init(seed: UInt64, without: Without = .nothing) {
        self.without = without
        self.random = SeededRandom(seed: seed)
        self.bound = self.settings.clockBound
        self.router = TestRouter(self.settings, shards: 1, replicas: 2)
        self.orders = Array(repeating: ChangeOrder(), count: Self.clients)
        self.inbox = [[], []]
        self.connections = [0, 0]
        self.pausedUntil = [0, 0]
        self.cutOffUntil = [0, 0]
        let most = Int(self.bound / Self.millisecond) * (without == .boundedClocks ? 8 : 1)
        self.logSkew = self.random.below(2 * most + 1) - most
    }

    mutating func run(milliseconds: Int) {
        for step in 0..<milliseconds + 3_000 {
            if step < milliseconds {
                if self.random.below(12) == 0 { self.ask() }
                if self.random.below(150) == 0 { self.fault() }
            }
            self.step()
        }
        self.check()
    }

    // MARK: Clients and the router

    private mutating func ask() {
        let client = self.random.below(Self.clients)
        let (user, item) = (self.random.below(2), self.random.below(2))
        let subject: ChangeSubject
        switch self.random.below(8) {
        case 0: subject = ChangeSubject(.forget, user: user)
        case 1: subject = ChangeSubject(.remove, user: user, item: item)
        default: subject = ChangeSubject(.event(time: 1_700_000_000_000), user: user, item: item)
        }
        var kind = RequestKind.event
        if case .event = subject.kind { kind = .idempotentEvent }
        self.changes.append(Change(client: client, subject: subject, kind: kind, began: self.now))
        let change = self.changes.count - 1
        guard let ticket = self.without == .order ? 0 : self.orders[client].begin(subject) else {
            return self.orders[client].hold(subject, change)
        }
        self.begin(change, ticket)
    }

    private mutating func begin(_ change: Int, _ ticket: UInt64) {
        self.changes[change].ticket = ticket
        let deadline =
            self.router.now + self.settings.eventDeadline
            - UInt64(self.now - self.changes[change].began) * Self.millisecond
        switch self.router.decisions.begin(self.changes[change].kind, slot: 0, deadline: deadline, now: self.router.now)
        {
        case .refuse: self.end(change, .unavailable, isOver: true)
        case .wait: preconditionFailure("a change waits for no turn")
        case .send(let dispatch):
            self.changes[change].request = dispatch.request
            self.byRequest[dispatch.request] = change
            self.send(dispatch)
        }
    }

    private mutating func send(_ dispatch: Dispatch) {
        guard let change = self.byRequest[dispatch.request] else { return self.wrong.append("sent after its end") }
        self.changes[change].expiresAt = dispatch.expiresAt
        let copy = Copy(
            change: change,
            attempt: dispatch.attempt,
            replica: dispatch.replica,
            connection: self.connections[dispatch.replica],
            until: self.without == .expiry ? .max : dispatch.expiresAt,
            due: self.now + 1 + self.random.below(3)
        )
        self.owed.append(copy)
        self.inbox[dispatch.replica].append(copy)
    }

    private mutating func settle(_ copy: Copy, _ outcome: Outcome) {
        self.owed.removeAll { $0.attempt == copy.attempt }
        switch self.router.decisions.settle(copy.attempt, outcome, now: self.router.now) {
        case .drop, .keep: break
        case .deliver(let request): self.end(request, outcome, isOver: outcome != .timedOut)
        case .resend(let dispatch): self.send(dispatch)
        case .fail(let request, let failure): self.end(request, failure)
        case .deliverKept(let request): self.end(request, .answered, isOver: true)
        }
    }

    private mutating func end(_ request: RequestID, _ failure: Failure) {
        let isKnown = failure != .lostMaybeStored && failure != .timedOutMaybeStored
        self.end(request, isKnown ? .unavailable : .lost, isOver: failure.isOver)
    }

    private mutating func end(_ request: RequestID, _ outcome: Outcome, isOver: Bool) {
        guard let change = self.byRequest.removeValue(forKey: request) else { return self.wrong.append("ended twice") }
        self.end(change, outcome, isOver: isOver)
    }

    private mutating func end(_ change: Int, _ outcome: Outcome, isOver: Bool) {
        if self.changes[change].end != nil { self.wrong.append("answered twice") }
        self.changes[change].end = (self.now, outcome)
        let over = self.changes[change].expiresAt == .max ? 0 : self.changes[change].expiresAt + self.bound
        let wait = isOver || over <= self.router.now ? 0 : Int((over - self.router.now) / Self.millisecond) + 1
        self.releases.append((self.now + wait, change))
    }

    private mutating func release() {
        let due = self.releases.filter { $0.at <= self.now }
        self.releases.removeAll { $0.at <= self.now }
        for (_, change) in due {
            let client = self.changes[change].client
            self.orders[client].end(self.changes[change].ticket ?? 0)
            while let (ticket, next) = self.orders[client].next() { self.begin(next, ticket) }
        }
    }

    // MARK: Time

    private mutating func step() {
        self.now += 1
        self.router.pass(1)
        let actions = self.router.actions
        self.router.actions = []
        for action in actions {
            switch action {
            case .send(let dispatch): self.send(dispatch)
            case .fail(let request, let failure): self.end(request, failure)
            case .deliverKept(let request): self.end(request, .answered, isOver: true)
            case .reset(let replica): self.lose(replica, arrives: true)
            default: break
            }
        }
        for replica in self.inbox.indices where self.pausedUntil[replica] <= self.now { self.serve(replica) }
        if self.logPausedUntil <= self.now { self.append() }
        let due = self.replies.filter { $0.due <= self.now && self.pausedUntil[$0.copy.replica] <= self.now }
        self.replies.removeAll { $0.due <= self.now && self.pausedUntil[$0.copy.replica] <= self.now }
        for (copy, outcome, _) in due where copy.connection == self.connections[copy.replica] {
            self.settle(copy, outcome)
        }
        self.release()
    }

    private mutating func serve(_ replica: Int) {
        while let copy = self.inbox[replica].first, copy.due <= self.now {
            self.inbox[replica].removeFirst()
            if self.cutOffUntil[replica] > self.now {
                self.replies.append((copy, .unavailable, self.now + 1))
            } else {
                var copy = copy
                copy.due = self.now + 1 + self.random.below(3)
                self.appends.append(copy)
            }
        }
    }

    /// What is due reaches the log, which gives it a place by its own clock.
    private mutating func append() {
        let due = self.appends.filter { $0.due <= self.now }
        self.appends.removeAll { $0.due <= self.now }
        for copy in due {
            let time = Int(self.router.now / Self.millisecond) + self.logSkew
            let counts = copy.until == .max || UInt64(max(0, time)) * Self.millisecond <= copy.until
            self.log.append(Entry(change: copy.change, at: self.now, counts: counts))
            if !counts { self.faults["came too late", default: 0] += 1 }
            self.replies.append((copy, counts ? .answered : .timedOut, self.now + 1 + self.random.below(3)))
        }
    }

    // MARK: Faults

    private mutating func fault() {
        let replica = self.random.below(2)
        let length = 50 + self.random.below(900)
        switch self.random.below(6) {
        case 0, 1:
            self.faults["replica stopped", default: 0] += 1
            self.pausedUntil[replica] = max(self.pausedUntil[replica], self.now + length)
        case 2:
            self.faults["log stopped", default: 0] += 1
            self.logPausedUntil = max(self.logPausedUntil, self.now + length)
        case 3:
            self.faults["cut off", default: 0] += 1
            self.cutOffUntil[replica] = max(self.cutOffUntil[replica], self.now + length / 4)
        case 4:
            self.faults["lost, arrives", default: 0] += 1
            self.lose(replica, arrives: true)
        default:
            self.faults["lost", default: 0] += 1
            self.lose(replica, arrives: false)
        }
    }

    /// The router's connection to a replica ends; what was sent may arrive all the same.
    private mutating func lose(_ replica: Int, arrives: Bool) {
        self.connections[replica] += 1
        if !arrives { self.inbox[replica] = [] }
        let lost = self.owed.filter { $0.replica == replica }
        self.owed.removeAll { $0.replica == replica }
        self.router.decisions.lost(replica, now: self.router.now)
        for copy in lost { self.settle(copy, .lost) }
    }

    // MARK: What must hold

    private mutating func check() {
        for (number, change) in self.changes.enumerated() {
            guard let end = change.end else {
                self.wrong.append("change \(number) was never answered")
                continue
            }
            if end.at - change.began > 1_150 { self.wrong.append("change \(number) was answered after its time") }
            let copies = self.log.filter { $0.change == number && $0.counts }
            if end.outcome == .answered, copies.isEmpty {
                self.wrong.append("change \(number) is acknowledged and lost")
            }
            if end.outcome == .answered, let late = copies.first(where: { $0.at > end.at }) {
                self.wrong.append("change \(number) counts \(late.at - end.at) ms after it was acknowledged")
            }
            if end.outcome == .unavailable, !copies.isEmpty {
                self.wrong.append("change \(number) was refused and counts")
            }
        }
        var highest: [Int: [(number: Int, subject: ChangeSubject)]] = [:]
        for entry in self.log where entry.counts {
            let change = self.changes[entry.change]
            let before = highest[change.client, default: []]
            if let later = before.first(where: {
                $0.number > entry.change && !$0.subject.commutes(with: change.subject)
            }) {
                self.wrong.append("change \(entry.change) counts behind \(later.number), which its client sent later")
            }
            highest[change.client] = before + [(entry.change, change.subject)]
        }
    }
}
