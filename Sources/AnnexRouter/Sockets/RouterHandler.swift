import AnnexCore
import AnnexNetwork
package import AnnexWire
import Logging
package import NIOCore

/// What commands mean at a router: each goes to a replica of the shard that has the user, and its reply comes back as it
/// was given.
///
/// One per event loop, with connections of its own to the replicas, so nothing is shared on a request's way. Unchecked
/// because all of it is touched on that loop only. `RouterDecisions` says where a request goes and what becomes of it;
/// this class does it.
package final class RouterHandler: CommandHandler, @unchecked Sendable {
    private static let tickInterval = TimeAmount.milliseconds(5)
    private static let reportEvery = 50

    let shared: RouterShared
    let loop: any EventLoop
    private let index: Int
    private var topology: ClusterTopology
    @exclusivity(unchecked) private var decisions: RouterDecisions
    /// By the index of a request's id.
    @exclusivity(unchecked) private var pending: [PendingReply] = []
    /// By the number of a replica.
    private var replicas: [ReplicaLinks?] = []
    private var ticks = 0
    /// Counts the times that what replicas have reached was forgotten.
    private var reaches = 0
    private var timer: RepeatedTask?
    private let commands: [CommandID: CommandSpecification]

    /// - Parameter index: of the loop, on which this is called.
    package init(_ shared: RouterShared, index: Int, loop: any EventLoop, table: CommandTable = .standard) {
        self.shared = shared
        self.loop = loop
        self.index = index
        self.topology = shared.topology
        self.decisions = RouterDecisions(
            shared.settings,
            topology: self.topology,
            seed: SystemRandomNumberGenerator.seed(),
            now: Self.now()
        )
        var commands: [CommandID: CommandSpecification] = [:]
        for specification in table.specifications { commands[specification.id] = specification }
        self.commands = commands
        shared.watch { topology in loop.execute { self.adopt(topology) } }
        self.timer = loop.scheduleRepeatedTask(initialDelay: .zero, delay: Self.tickInterval) { _ in self.tick() }
    }

    static func now() -> UInt64 { NIODeadline.now().uptimeNanoseconds }

    // MARK: Requests

    package func handle(
        _ id: CommandID,
        _ request: Request,
        connection: inout ConnectionState,
        reply: inout ReplyWriter
    ) -> Disposition {
        if id == .reload {
            reply.error(
                code: .error,
                "a router reloads nothing: `annctl cluster reload` takes replica by replica"
            )
            return .done
        }
        if id == .ready {
            self.writeReadiness(&reply)
            return .done
        }
        if id == .waitpos { return self.waitForPosition(request, &connection, &reply) }
        guard let command = self.commands[id] else {
            reply.error(code: .error, "this command is not served here")
            return .done
        }
        guard command.isAboutUser else {
            return self.forward(Route(slot: nil, kind: .read), request, connection, ticket: nil, &reply)
        }
        guard let keys = command.keys(in: request) else {
            // A count that does not fit: any shard says so.
            return self.forward(Route(slot: nil, kind: .read), request, connection, ticket: nil, &reply)
        }
        let slot = request.withArgument(keys.lowerBound) { Slot.of($0) }
        if keys.count > 1, let parts = self.parts(of: request, keys), parts.count > 1 {
            return self.split(request, keys, parts, &connection, &reply)
        }
        let route = Route(slot: slot, kind: Self.kind(of: command, request), keys: keys)
        if route.kind != .read { return self.forwardChange(route, id, request, &connection, &reply) }
        return self.forward(route, request, connection, ticket: nil, &reply)
    }

    /// READY: each shard needs a replica that serves.
    private func writeReadiness(_ reply: inout ReplyWriter) {
        let now = Self.now()
        let down = self.topology.shards.indices.filter { shard in
            !self.decisions.replicas(of: shard).contains { self.decisions.status(of: $0, now: now).state == .healthy }
        }
        guard !down.isEmpty else { return reply.status("OK") }
        let names = down.map { "'\(self.topology.shards[$0].name)'" }.joined(separator: ", ")
        reply.error(code: .loading, "not ready: no replica serves shard \(names)")
    }

    private static func kind(of command: CommandSpecification, _ request: Request) -> RequestKind {
        guard command.flags.contains("write") else { return .read }
        guard command.id == .event, let arguments = try? EventArguments(request), arguments.time != nil else {
            return .event
        }
        return .idempotentEvent
    }

    struct Route {
        let slot: Int?
        let kind: RequestKind
        /// Of the users.
        var keys = 0..<0
    }

    /// No replica waits here: the reads that follow do, at whichever they are sent to.
    private func waitForPosition(
        _ request: Request,
        _ connection: inout ConnectionState,
        _ reply: inout ReplyWriter
    ) -> Disposition {
        do throws(ArgumentFailure) { _ = try WaitPositionArguments(request) } catch {
            reply.error(error)
            return .done
        }
        let positions = connection.memory as? ClientPositions ?? ClientPositions()
        connection.memory = positions
        positions.add(request.bytesOf(2))
        reply.status("OK")
        return .done
    }

    /// - Parameter ticket: of a change, its place among those of its client.
    func forward(
        _ route: Route,
        _ request: Request,
        _ connection: ConnectionState,
        ticket: UInt64?,
        _ reply: inout ReplyWriter
    ) -> Disposition {
        let positions = connection.memory as? ClientPositions
        switch self.begin(route, positions, deadline: nil) {
        case .refuse(let failure):
            if let ticket { positions?.order.end(ticket) }
            self.fail(failure, route.slot, &reply)
            return .done
        case .send(let dispatch):
            let bytes = request.heldBytes
            return .pending(bytes: bytes) { promise in
                self.start(dispatch, route, request, connection, ticket: ticket, promise)
            }
        }
    }

    func begin(_ route: Route, _ positions: ClientPositions?, deadline: UInt64?) -> Decision {
        let prefer = route.kind == .read ? nil : positions?.replica(ofChangesTo: route.slot)
        return self.decisions.begin(route.kind, slot: route.slot, prefer: prefer, deadline: deadline, now: Self.now())
    }

    func start(
        _ dispatch: Dispatch,
        _ route: Route,
        _ request: Request,
        _ connection: ConnectionState,
        ticket: UInt64?,
        _ reply: ReplyPromise
    ) {
        let row = self.makeRow(dispatch.request)
        if route.kind != .read, let positions = connection.memory as? ClientPositions {
            positions.changeBegan(route.slot, at: dispatch.replica)
        }
        self.pending[row].begin(dispatch.request, request, route.kind, route.slot, route.keys, connection)
        self.pending[row].ticket = ticket
        self.pending[row].reply = reply
        self.send(dispatch)
    }

    /// Where a request is kept; makes room.
    private func makeRow(_ request: RequestID) -> Int {
        let row = Int(request.index)
        while self.pending.count <= row { self.pending.append(PendingReply()) }
        return row
    }

    func fail(_ failure: Failure, _ slot: Int?, _ reply: inout ReplyWriter) {
        FailureText.write(failure, slot: slot, topology: self.topology, settings: self.shared.settings, &reply)
    }

    // MARK: Out and in

    private func send(_ dispatch: Dispatch) {
        self.pending[Int(dispatch.request.index)].expiresAt = dispatch.expiresAt
        let entry = self.pending[Int(dispatch.request.index)]
        if entry.lane == .changes, dispatch.reason != .first {
            entry.positions?.changeMoved(entry.slot, to: dispatch.replica)
        }
        let links = self.links(dispatch.replica)
        links.send(dispatch, entry, settings: self.shared.settings, reaches: self.reaches)
    }

    private func links(_ replica: Int) -> ReplicaLinks {
        while self.replicas.count <= replica { self.replicas.append(nil) }
        if let links = self.replicas[replica] { return links }
        let links = ReplicaLinks(
            replica,
            self.decisions.address(of: replica),
            shared: self.shared,
            loop: self.loop,
            callbacks: ReplicaLink.Callbacks(
                replied: { [unowned self] in self.replied($0, $1, $2, from: replica) },
                lost: { [unowned self] in
                    self.carryOut(self.decisions.settle($0.attempt, $1 ? .lost : .unsent, now: Self.now()))
                },
                failed: { [unowned self] in self.linkFailed(replica, $0) }
            ),
            health: HealthLink.Callbacks(
                answered: { [unowned self] in self.decisions.pong(replica, now: Self.now()) },
                ended: { [unowned self] in self.decisions.gone(replica, now: Self.now()) }
            )
        )
        self.replicas[replica] = links
        return links
    }

    /// Returns who takes the rest of a reply that is not whole.
    private func replied(_ owed: OwedAttempt, _ bytes: ByteBuffer, _ isWhole: Bool, from replica: Int) -> ReplyPromise?
    {
        var outcome = ReplyKind.outcome(of: bytes)
        if owed.isStale, outcome != .moved { outcome = .stale }
        let redirect = outcome == .moved ? ReplyKind.target(of: bytes).flatMap { self.decisions.replica(at: $0) } : nil
        let verdict = self.decisions.settle(owed.attempt, outcome, redirect: redirect, now: Self.now())
        switch verdict {
        case .deliver(let request):
            return self.deliver(self.take(request, isOver: outcome != .timedOut), bytes, isWhole, from: replica)
        case .keep(let request): self.pending[Int(request.index)].kept = (bytes, replica)
        case .drop, .resend, .fail, .deliverKept: self.carryOut(verdict)
        }
        return nil
    }

    private func deliver(_ entry: PendingReply, _ bytes: ByteBuffer, _ isWhole: Bool, from replica: Int)
        -> ReplyPromise?
    {
        if let (split, part) = entry.split {
            split.give(part, bytes)
            return nil
        }
        entry.reply?.fulfilNow(entry.finished(bytes, from: replica, reaches: self.reaches), isLast: isWhole)
        return isWhole ? nil : entry.reply
    }

    private func linkFailed(_ replica: Int, _ reason: String) {
        self.decisions.lost(replica, now: Self.now())
        if reason.hasPrefix(ReplicaLink.refusal) {
            return self.shared.logger.warning(
                "A replica refuses the router: see --shard-password-file",
                metadata: ["replica": "\(self.decisions.address(of: replica))", "reason": "\(reason)"]
            )
        }
        self.shared.logger.debug(
            "Connection to a replica ended",
            metadata: ["replica": "\(self.decisions.address(of: replica))", "reason": "\(reason)"]
        )
    }

    private func carryOut(_ verdict: Verdict) {
        switch verdict {
        case .deliver, .drop, .keep: break
        case .resend(let dispatch): self.send(dispatch)
        case .fail(let request, let failure): self.fail(self.take(request, isOver: failure.isOver), failure)
        case .deliverKept(let request): self.deliverKept(self.take(request, isOver: true))
        }
    }

    private func deliverKept(_ entry: PendingReply) {
        guard let (bytes, replica) = entry.kept else { return }
        _ = self.deliver(entry, bytes, true, from: replica)
    }

    /// What is kept of a request that has ended; its row is free.
    ///
    /// - Parameter isOver: whether it is certain that no attempt of it can be carried out any more.
    private func take(_ request: RequestID, isOver: Bool) -> PendingReply {
        let entry = self.pending[Int(request.index)]
        self.ended(entry, isOver: isOver)
        self.pending[Int(request.index)].end()
        return entry
    }

    /// What a client waits for who is gone is not asked for again, and its replies are dropped. Changes go on.
    package func abandon(_ sink: any ReplySink) {
        for index in self.pending.indices {
            let entry = self.pending[index]
            guard let request = entry.request, entry.lane == .reads else { continue }
            guard (entry.reply ?? entry.split?.0.reply)?.goes(to: sink) ?? false else { continue }
            self.decisions.cancel(request)
            self.pending[index].end()
        }
    }

    private func fail(_ entry: PendingReply, _ failure: Failure) {
        var writer = ReplyWriter(version: entry.version, buffer: ByteBuffer())
        self.fail(failure, entry.slot, &writer)
        if let (split, _) = entry.split {
            split.end(with: writer.buffer)
        } else {
            entry.reply?.fulfilNow(writer.buffer)
        }
    }

    // MARK: Time

    private func tick() {
        self.decisions.tick(now: Self.now())
        self.act()
        self.ticks += 1
        if self.ticks % Self.reportEvery == 0 {
            let limit = TimeAmount.nanoseconds(Int64(clamping: self.shared.settings.replyLimit))
            for links in self.replicas { links?.cutStalled(after: limit) }
        }
        if self.ticks % Self.reportEvery == 0 { self.report() }
    }

    private func act() {
        // Who is answered may ask the next at once, which may get a row that another action still names: so all are taken
        // off their rows first, and answered last.
        var failed: [(PendingReply, Failure)] = []
        var kept: [PendingReply] = []
        var broken: [(replica: Int, isGone: Bool)] = []
        while let action = self.decisions.nextAction() {
            switch action {
            case .send(let dispatch): self.send(dispatch)
            case .fail(let request, let failure):
                failed.append((self.take(request, isOver: failure.isOver), failure))
            case .deliverKept(let request): kept.append(self.take(request, isOver: true))
            case .ping(let replica, let fresh): self.links(replica).health.ping(fresh: fresh)
            case .health(let replica, let change):
                // Each loop finds out by itself; one of them tells.
                if change.to == .ejected { self.forgetReached() }
                self.shared.logger.log(
                    level: self.index == 0 ? .info : .debug,
                    "Replica's health changed",
                    metadata: [
                        "replica": "\(self.decisions.address(of: replica))", "now": "\(change.to)",
                        "reason": "\(change.reason.rawValue)",
                    ]
                )
            case .reset(let replica): broken.append((replica, false))
            case .topologyIsStale: self.shared.topologyIsStale()
            case .retired(let replica): broken.append((replica, true))
            }
        }
        for (replica, isGone) in broken where self.replicas.indices.contains(replica) {
            let links = self.replicas[replica]
            if isGone { self.replicas[replica] = nil }
            if isGone { links?.close() } else { links?.reset("no reply for too long") }
            if isGone { self.forgetReached() }
        }
        for (entry, failure) in failed { self.fail(entry, failure) }
        for entry in kept { self.deliverKept(entry) }
    }

    /// A replica that comes back may be another one, which has not waited yet.
    private func forgetReached() { self.reaches += 1 }

    private func adopt(_ topology: ClusterTopology) {
        self.topology = topology
        self.decisions.adopt(topology, now: Self.now())
        self.act()
    }

    private func report() {
        let now = Self.now()
        let replicas = self.topology.shards.indices.flatMap { shard in
            self.decisions.replicas(of: shard).map { self.decisions.status(of: $0, now: now) }
        }
        self.shared.publish(RouterReport(counters: self.decisions.counters, replicas: replicas), loop: self.index)
    }

    // MARK: Several users

    /// The shards of the users, each with the positions of its users; nil where one has none.
    private func parts(of request: Request, _ keys: Range<Int>) -> [(shard: Int, users: [Int])]? {
        var parts: [(shard: Int, users: [Int])] = []
        for key in keys {
            guard let shard = self.topology.shard(of: request.withArgument(key) { Slot.of($0) }) else { return nil }
            if let known = parts.firstIndex(where: { $0.shard == shard }) {
                parts[known].users.append(key)
            } else {
                parts.append((shard, [key]))
            }
        }
        return parts
    }

    private func split(
        _ request: Request,
        _ keys: Range<Int>,
        _ parts: [(shard: Int, users: [Int])],
        _ connection: inout ConnectionState,
        _ reply: inout ReplyWriter
    ) -> Disposition {
        // What the whole must keep to, as no shard sees it.
        do throws(ArgumentFailure) { _ = try MTopKArguments(request) } catch {
            reply.error(error)
            return .done
        }
        var partOf = Array(repeating: 0, count: keys.count)
        for (part, (_, users)) in parts.enumerated() { for user in users { partOf[user - keys.lowerBound] = part } }
        let order = partOf
        let options = RequestEncoder.arguments(of: request, from: keys.upperBound)
        let frames = parts.map { part in
            let users = part.users.map { request.bytesOf($0) }
            let frame = RequestFrame(users: users, options: options, optionCount: request.count - keys.upperBound)
            return (users, frame)
        }
        let state = connection
        let bytes = frames.reduce(options.readableBytes) { $0 + $1.1.head.readableBytes }
        return .pending(bytes: bytes) { promise in
            let split = SplitRequest(reply: promise, partOf: order, parts: frames.count)
            for (part, (users, frame)) in frames.enumerated() {
                switch self.decisions.begin(.read, slot: Slot.of(users[0]), now: Self.now()) {
                case .refuse(let failure):
                    var writer = ReplyWriter(version: state.respVersion, buffer: ByteBuffer())
                    self.fail(failure, Slot.of(users[0]), &writer)
                    let refusal = writer.buffer
                    // Not before the handler has returned.
                    self.loop.assumeIsolated().execute { split.end(with: refusal) }
                case .send(let dispatch):
                    let row = self.makeRow(dispatch.request)
                    self.pending[row].begin(dispatch.request, frame, users, state, split: (split, part))
                    self.send(dispatch)
                }
            }
        }
    }
}
