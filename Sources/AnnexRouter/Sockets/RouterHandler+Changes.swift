import AnnexCore
import AnnexWire
import NIOCore

/// Changes, which keep the order in which their client sent them.
extension RouterHandler {
    /// A change, whose user is argument 1.
    ///
    /// - Parameter subject: nil where some argument is wrong: a shard says which.
    func forwardChange(
        _ kind: RequestKind,
        _ subject: ChangeSubject?,
        _ request: Request,
        _ connection: inout ConnectionState,
        _ reply: inout ReplyWriter
    ) -> Disposition {
        let route = Route(slot: request.withArgument(1) { Slot.of($0) }, kind: kind, keys: 1..<2)
        let client = self.client(of: &connection)
        guard let subject else { return self.forward(route, request, client, connection, &reply) }
        return self.forwardChange(route, subject, request, client, connection, &reply)
    }

    func forwardChange(
        _ route: Route,
        _ subject: ChangeSubject,
        _ request: Request,
        _ client: RouterClient,
        _ connection: ConnectionState,
        _ reply: inout ReplyWriter
    ) -> Disposition {
        if let ticket = client.order.begin(subject) {
            return self.forward(route, request, client, connection, ticket: ticket, &reply)
        }
        // A copy: the request as it came would keep the whole receive buffer, which is not counted, for as long as it waits.
        let kept = request.detached
        let deadline = RouterShared.now() + self.shared.settings.eventDeadline
        return .pending(bytes: kept.heldBytes) { promise in
            client.order.hold(
                subject,
                HeldChange(route: route, request: kept, connection: connection, reply: promise, deadline: deadline)
            )
        }
    }

    /// A change has ended. Those behind it go when nothing of it can be carried out any more.
    func ended(_ entry: PendingReply, isOver: Bool) {
        guard entry.lane == .changes, let client = entry.client else { return }
        client.changeEnded(entry.slot)
        guard let ticket = entry.ticket else { return }
        let now = RouterShared.now()
        let end = entry.expiresAt.addingReportingOverflow(self.shared.settings.checked.clockBound)
        guard !isOver, !end.overflow, end.partialValue > now else { return self.release(ticket, client) }
        self.loop.assumeIsolated().scheduleTask(in: .nanoseconds(Int64(clamping: end.partialValue - now))) {
            self.release(ticket, client)
        }
    }

    private func release(_ ticket: UInt64, _ client: RouterClient) {
        client.order.end(ticket)
        guard client.order.waitingCount > 0 else { return }
        // Who ends a change may still have others at hand, by their rows, which one that begins would be given.
        self.loop.assumeIsolated().execute {
            while let (ticket, held) = client.order.next() { self.launch(held, ticket, client) }
        }
    }

    private func launch(_ held: HeldChange, _ ticket: UInt64, _ client: RouterClient) {
        switch self.begin(held.route, client, held.connection, deadline: held.deadline) {
        case .refuse(let failure):
            client.order.end(ticket)
            var writer = ReplyWriter(version: held.connection.respVersion, buffer: ByteBuffer())
            if failure == .timedOut {
                writer.error(
                    code: .timeout,
                    "a change before it took too long, nothing was stored of this one: send both again, in their order"
                )
            } else {
                self.fail(failure, held.route.slot, .changes, &writer)
            }
            held.reply.fulfilNow(writer.takeBuffer())
        case .send(let dispatch):
            let id = dispatch.request
            let row = self.enter(id, dispatch, held.route, held.request, client, held.connection, ticket: ticket)
            self.pending[row].reply = held.reply
            self.send(dispatch)
        case .wait(let id):
            let row = self.enter(id, nil, held.route, held.request, client, held.connection, ticket: ticket)
            self.pending[row].reply = held.reply
        }
    }
}

extension RouterHandler {
    /// The kind of several changes together.
    static func kind(ofChanges changes: [ParsedChange]) -> RequestKind {
        changes.allSatisfy(\.arguments.isIdempotent) ? .idempotentEvent : .event
    }
}

extension ChangeArguments {
    /// Whether it may be stored twice, as that is the same as once: an event with a time.
    var isIdempotent: Bool {
        switch self {
        case .event(let event): event.time != nil
        case .remove, .forget: false
        }
    }
}

extension ChangeSubject {
    init(_ arguments: ChangeArguments, _ request: Request) {
        func hash(_ index: Int) -> Int {
            request.withArgument(index) { bytes in
                var hasher = Hasher()
                hasher.combine(bytes: bytes)
                return hasher.finalize()
            }
        }
        switch arguments {
        case .event(let event): self.init(.event(time: event.time), user: hash(event.user), item: hash(event.item))
        case .remove(let remove): self.init(.remove, user: hash(remove.user), item: hash(remove.item))
        case .forget(let forget): self.init(.forget, user: hash(forget.user))
        }
    }
}
