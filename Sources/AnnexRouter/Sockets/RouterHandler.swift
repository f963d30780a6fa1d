import AnnexClient
import AnnexCore
package import AnnexWire
import Logging
package import NIOCore

/// Carries out commands at a router: each goes to a replica of the shard that has the user, and its reply comes back as it
/// was given.
///
/// One per event loop, with connections of its own to the replicas, so nothing is shared on a request's way. Unchecked
/// because all of it is touched on that loop only. `RouterDecisions` says where a request goes and what becomes of it;
/// this class does it.
package final class RouterHandler: CommandHandler, @unchecked Sendable {
    static let tickInterval = TimeAmount.milliseconds(5)
    static let reportEvery = 50

    let shared: RouterShared
    let loop: any EventLoop
    let index: Int
    var topology: ClusterTopology
    @exclusivity(unchecked) var decisions: RouterDecisions
    /// Rows stand by the index of a request's id.
    @exclusivity(unchecked) var pending: [PendingReply] = []
    /// Links, by the number of their replica.
    var replicas: [ReplicaLinks?] = []
    var ticks = 0
    /// Counts the times that what replicas have reached was forgotten.
    var reaches = 0
    private var timer: RepeatedTask?
    /// Nothing is sent any more.
    private(set) var isStopped = false

    /// - Parameter index: of the loop, on which this is called.
    package init(_ shared: RouterShared, index: Int, loop: any EventLoop) {
        self.shared = shared
        self.loop = loop
        self.index = index
        self.topology = shared.topology
        self.decisions = RouterDecisions(
            shared.settings,
            topology: self.topology,
            seed: SystemRandomNumberGenerator.seed(),
            now: RouterShared.now()
        )
        shared.watch { topology in loop.execute { self.adopt(topology) } }
        self.timer = loop.scheduleRepeatedTask(initialDelay: .zero, delay: Self.tickInterval) { _ in self.tick() }
    }

    package func stop() {
        self.isStopped = true
        self.timer?.cancel()
        for links in self.replicas { links?.close("the router ends") }
        NameLookups.end(on: self.loop)
    }

    // MARK: Requests

    package func handle(
        _ id: HandlerCommand,
        _ request: Request,
        connection: inout ConnectionState,
        reply: inout ReplyWriter
    ) -> Disposition {
        let command = id.specification
        switch command.routing {
        case .anywhere: return self.read(command, request, keys: nil, &connection, &reply)
        case .user: return self.read(command, request, keys: command.keys(in: request), &connection, &reply)
        case .users: return self.readParts(command, request, &connection, &reply)
        case .change(let change):
            let arguments = try? ChangeArguments(change, request)
            let kind: RequestKind = arguments?.isIdempotent ?? false ? .idempotentEvent : .event
            let subject = arguments.map { ChangeSubject($0, request) }
            return self.forwardChange(kind, subject, request, &connection, &reply)
        case .changes:
            let kind = (try? AtomicArguments(request)).map { Self.kind(ofChanges: $0.changes) } ?? .event
            return self.forwardChange(kind, ChangeSubject(.several, user: 0), request, &connection, &reply)
        case .atRouter(let answer): return self.answer(answer, request, &connection, &reply)
        }
    }

    /// Answers a command that no shard can answer.
    private func answer(
        _ answer: CommandSpecification.RouterAnswer,
        _ request: Request,
        _ connection: inout ConnectionState,
        _ reply: inout ReplyWriter
    ) -> Disposition {
        switch answer {
        case .waitForPosition: return self.waitForPosition(request, &connection, &reply)
        case .readiness: self.writeReadiness(&reply)
        case .refuseReload:
            reply.error(
                code: .error,
                "a router reloads nothing: `annctl cluster reload` takes replica by replica"
            )
        }
        return .done
    }

    /// - Parameter keys: nil where any shard answers, were it only by saying that a count does not fit.
    private func read(
        _ command: CommandSpecification,
        _ request: Request,
        keys: Range<Int>?,
        _ connection: inout ConnectionState,
        _ reply: inout ReplyWriter
    ) -> Disposition {
        let client = self.client(of: &connection)
        let slot = keys.map { request.withArgument($0.lowerBound) { Slot.of($0) } }
        let route = self.route(command.cost.microseconds(request), slot: slot, keys: keys ?? 0..<0, client)
        return self.forward(route, request, client, connection, &reply)
    }

    /// Sends a read of several users: a part for each shard that has some of them.
    private func readParts(
        _ command: CommandSpecification,
        _ request: Request,
        _ connection: inout ConnectionState,
        _ reply: inout ReplyWriter
    ) -> Disposition {
        let keys = command.keys(in: request)
        let client = self.client(of: &connection)
        if let keys, let parts = self.split(request, keys, client, connection, &reply) { return parts }
        return self.read(command, request, keys: keys, &connection, &reply)
    }

    func client(of connection: inout ConnectionState) -> RouterClient {
        if let known = connection.memory as? RouterClient { return known }
        let client = RouterClient()
        connection.memory = client
        return client
    }

    /// Answers READY: each shard needs a replica that serves.
    private func writeReadiness(_ reply: inout ReplyWriter) {
        let now = RouterShared.now()
        let down = self.topology.shards.indices.filter { shard in
            !self.decisions.replicas(of: shard).contains { self.decisions.status(of: $0, now: now).state == .healthy }
        }
        guard !down.isEmpty else { return reply.status("OK") }
        let names = down.map { "'\(self.topology.shards[$0].name)'" }.joined(separator: ", ")
        reply.error(code: .loading, "not ready: no replica serves shard \(names)")
    }

    /// Returns the route of a read. It is heavy where it costs much, or where the client has much under way already.
    ///
    /// - Parameter cost: microseconds by `ReadCost`.
    func route(_ cost: Int, slot: Int?, keys: Range<Int> = 0..<0, _ client: RouterClient) -> Route {
        guard cost > RouterSettings.clientCost else { return Route(slot: slot, kind: .read, keys: keys) }
        let isHeavy =
            cost > self.shared.settings.heavyCost || client.costUnderWay + cost > self.shared.settings.heavyCost
        return Route(slot: slot, kind: isHeavy ? .heavyRead : .read, keys: keys, cost: isHeavy ? 0 : cost)
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
        self.client(of: &connection).add(request.bytesOf(2))
        reply.status("OK")
        return .done
    }

    /// - Parameter ticket: of a change, its place among those of its client.
    func forward(
        _ route: Route,
        _ request: Request,
        _ client: RouterClient,
        _ connection: ConnectionState,
        ticket: UInt64? = nil,
        _ reply: inout ReplyWriter
    ) -> Disposition {
        let id: RequestID
        let dispatch: Dispatch?
        switch self.begin(route, client, connection, deadline: nil) {
        case .refuse(let failure):
            if let ticket { client.order.end(ticket) }
            self.fail(failure, route.slot, Lane(route.kind), &reply)
            return .done
        case .send(let first): (id, dispatch) = (first.request, first)
        case .wait(let request): (id, dispatch) = (request, nil)
        }
        let row = self.enter(id, dispatch, route, request, client, connection, ticket: ticket)
        return .pending(bytes: self.pending[row].frame.heldBytes) { promise in
            // The connection may have been closed in between.
            if self.pending[row].request == id { self.pending[row].reply = promise }
            if let dispatch { self.send(dispatch) }
        }
    }

    func begin(
        _ route: Route,
        _ client: RouterClient,
        _ connection: ConnectionState,
        deadline: UInt64?
    ) -> Decision {
        let decision = self.decisions.begin(
            route.kind,
            slot: route.slot,
            prefer: route.kind.isRead ? nil : client.replica(ofChangesTo: route.slot),
            client: connection.id,
            deadline: deadline,
            now: RouterShared.now()
        )
        if self.decisions.hasActions { self.act(later: true) }
        return decision
    }

    /// Keeps what a decision is about, and for whom. Returns its row.
    func enter(
        _ id: RequestID,
        _ dispatch: Dispatch?,
        _ route: Route,
        _ request: Request,
        _ client: RouterClient,
        _ connection: ConnectionState,
        ticket: UInt64?
    ) -> Int {
        let row = self.makeRow(id)
        if !route.kind.isRead, let dispatch { client.changeBegan(route.slot, at: dispatch.replica) }
        self.pending[row].begin(id, request, route, client, connection)
        self.pending[row].ticket = ticket
        self.link(row, to: client)
        return row
    }

    /// Makes room for the row of a request and returns its index.
    func makeRow(_ request: RequestID) -> Int {
        let row = Int(request.index)
        while self.pending.count <= row { self.pending.append(PendingReply()) }
        return row
    }

    func fail(_ failure: Failure, _ slot: Int?, _ lane: Lane, _ reply: inout ReplyWriter) {
        FailureText.write(
            failure,
            slot: slot,
            lane: lane,
            topology: self.topology,
            settings: self.shared.settings,
            &reply
        )
    }
}
