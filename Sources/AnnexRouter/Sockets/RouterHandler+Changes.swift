import AnnexCore
import AnnexNetwork
import AnnexWire
import NIOCore

/// A change that waits for one before it.
struct HeldChange: Sendable {
    let route: RouterHandler.Route
    let request: Request
    let connection: ConnectionState
    let reply: ReplyPromise
    /// Of the router's clock.
    let deadline: UInt64
}

/// Changes, which keep the order in which their client sent them.
extension RouterHandler {
    func forwardChange(
        _ route: Route,
        _ id: CommandID,
        _ request: Request,
        _ connection: inout ConnectionState,
        _ reply: inout ReplyWriter
    ) -> Disposition {
        let positions = connection.memory as? ClientPositions ?? ClientPositions()
        connection.memory = positions
        guard let subject = ChangeSubject(id, request) else {
            // Some argument is wrong: a shard says which.
            return self.forward(route, request, connection, ticket: nil, &reply)
        }
        if let ticket = positions.order.begin(subject) {
            return self.forward(route, request, connection, ticket: ticket, &reply)
        }
        let client = connection
        // A copy: the request as it came would keep the whole receive buffer, which is not counted, for as long as it waits.
        let kept = Request((0..<request.count).map { request.bytesOf($0) })
        let deadline = Self.now() + self.shared.settings.eventDeadline
        return .pending(bytes: kept.heldBytes) { promise in
            positions.order.hold(
                subject,
                HeldChange(route: route, request: kept, connection: client, reply: promise, deadline: deadline)
            )
        }
    }

    /// A change has ended. Those behind it go when nothing of it can be carried out any more.
    func ended(_ entry: PendingReply, isOver: Bool) {
        guard entry.lane == .changes, let positions = entry.positions else { return }
        positions.changeEnded(entry.slot)
        guard let ticket = entry.ticket else { return }
        let now = Self.now()
        let end = entry.expiresAt.addingReportingOverflow(self.shared.settings.checked.clockBound)
        guard !isOver, !end.overflow, end.partialValue > now else { return self.release(ticket, positions) }
        self.loop.assumeIsolated().scheduleTask(in: .nanoseconds(Int64(clamping: end.partialValue - now))) {
            self.release(ticket, positions)
        }
    }

    private func release(_ ticket: UInt64, _ positions: ClientPositions) {
        positions.order.end(ticket)
        guard positions.order.waitingCount > 0 else { return }
        // Who ends a change may still have others at hand, by their rows, which one that begins would be given.
        self.loop.assumeIsolated().execute {
            while let (ticket, held) = positions.order.next() { self.launch(held, ticket, positions) }
        }
    }

    private func launch(_ held: HeldChange, _ ticket: UInt64, _ positions: ClientPositions) {
        switch self.begin(held.route, positions, deadline: held.deadline) {
        case .refuse(let failure):
            positions.order.end(ticket)
            var writer = ReplyWriter(version: held.connection.respVersion, buffer: ByteBuffer())
            if failure == .timedOut {
                writer.error(
                    code: .timeout,
                    "a change before it took too long, nothing was stored of this one: send both again, in their order"
                )
            } else {
                self.fail(failure, held.route.slot, &writer)
            }
            held.reply.fulfilNow(writer.takeBuffer())
        case .send(let dispatch):
            self.start(dispatch, held.route, held.request, held.connection, ticket: ticket, held.reply)
        }
    }
}

extension ChangeSubject {
    /// Nil where the arguments are wrong.
    init?(_ id: CommandID, _ request: Request) {
        func hash(_ index: Int) -> Int {
            request.withArgument(index) { bytes in
                var hasher = Hasher()
                hasher.combine(bytes: bytes)
                return hasher.finalize()
            }
        }
        switch id {
        case .event:
            guard let arguments = try? EventArguments(request) else { return nil }
            self.init(.event(time: arguments.time), user: hash(arguments.user), item: hash(arguments.item))
        case .eventDelete: self.init(.remove, user: hash(1), item: hash(2))
        case .forget: self.init(.forget, user: hash(1))
        default: return nil
        }
    }
}
