import AnnexCore
import AnnexWire
import NIOCore

/// Requests about users of several shards: a part for each shard.
extension RouterHandler {
    /// With more users a request is taken apart on another thread: each takes some 0.3 µs.
    private static let usersOnLoop = 512

    /// Nil where all users are of one shard: then the request goes on as it is.
    ///
    /// - Parameter keys: positions of the users.
    func split(
        _ request: Request,
        _ keys: Range<Int>,
        _ client: RouterClient,
        _ connection: ConnectionState,
        _ reply: inout ReplyWriter
    ) -> Disposition? {
        guard keys.count > 1, self.topology.shards.count > 1 else { return nil }
        let isLarge = keys.count > Self.usersOnLoop
        do throws(SplitPlan.Unowned) {
            let shards = isLarge ? nil : try SplitPlan.shards(of: request, keys, self.topology)
            if shards?.count == 1 { return nil }
            // What the whole must keep to, as no shard sees it.
            let arguments: MTopKArguments
            do throws(ArgumentFailure) { arguments = try MTopKArguments(request) } catch {
                reply.error(error)
                return .done
            }
            guard let shards else { return self.splitElsewhere(arguments, request, keys, client, connection) }
            let plan = SplitPlan(shards, request, keys)
            return .pending(bytes: plan.byteCount) { self.begin(plan, arguments, request, client, connection, $0) }
        } catch {
            self.fail(.unowned, error.slot, .heavy, &reply)
            return .done
        }
    }

    private func splitElsewhere(
        _ arguments: MTopKArguments,
        _ request: Request,
        _ keys: Range<Int>,
        _ client: RouterClient,
        _ connection: ConnectionState
    ) -> Disposition {
        let topology = self.topology
        // The request and the frames that are made of it.
        return .pending(bytes: request.pinnedBytes + request.heldBytes) { promise in
            promise.elsewhere {
                do throws(SplitPlan.Unowned) {
                    let plan = SplitPlan(try SplitPlan.shards(of: request, keys, topology), request, keys)
                    return { self.begin(plan, arguments, request, client, connection, promise) }
                } catch {
                    return { promise.fulfil { self.fail(.unowned, error.slot, .heavy, &$0) } }
                }
            }
        }
    }

    private func begin(
        _ plan: SplitPlan,
        _ arguments: MTopKArguments,
        _ request: Request,
        _ client: RouterClient,
        _ connection: ConnectionState,
        _ promise: ReplyPromise
    ) {
        let split = SplitRequest(reply: promise, partOf: plan.partOf, parts: plan.parts.count)
        for (number, part) in plan.parts.enumerated() {
            let route = self.route(arguments.microseconds(users: part.users.count), slot: part.slot, client)
            let decision = self.decisions.begin(
                route.kind,
                slot: route.slot,
                client: connection.id,
                now: RouterShared.now()
            )
            if self.decisions.hasActions { self.act(later: true) }
            let id: RequestID
            let dispatch: Dispatch?
            switch decision {
            case .refuse(let failure):
                var writer = ReplyWriter(version: connection.respVersion, buffer: ByteBuffer())
                self.fail(failure, route.slot, Lane(route.kind), &writer)
                let refusal = writer.buffer
                // A reply may be given only after the handler has returned.
                self.loop.assumeIsolated().execute { split.end(with: refusal) }
                continue
            case .send(let first): (id, dispatch) = (first.request, first)
            case .wait(let request): (id, dispatch) = (request, nil)
            }
            // Only reads behind the client's own events need them.
            let users = client.known.isEmpty ? [] : part.users.map { request.bytesOf($0) }
            let row = self.makeRow(id)
            self.pending[row].begin(id, part.frame, users, route, client, connection, split: (split, number))
            self.link(row, to: client)
            if let dispatch { self.send(dispatch) }
        }
    }
}
