import AnnexCore
import AnnexWire
import NIOCore

/// Requests about users of several shards: a part for each shard.
extension RouterHandler {
    /// The shards of the users, each with the positions of its users; nil where one has none.
    /// O(users + shards).
    func parts(of request: Request, _ keys: Range<Int>) -> [(shard: Int, users: [Int])]? {
        var parts: [(shard: Int, users: [Int])] = []
        var partOf = Array(repeating: -1, count: self.topology.shards.count)
        for key in keys {
            guard let shard = self.topology.shard(of: request.withArgument(key) { Slot.of($0) }) else { return nil }
            if partOf[shard] < 0 {
                partOf[shard] = parts.count
                parts.append((shard, []))
            }
            parts[partOf[shard]].users.append(key)
        }
        return parts
    }

    func split(
        _ request: Request,
        _ keys: Range<Int>,
        _ parts: [(shard: Int, users: [Int])],
        _ client: RouterClient,
        _ connection: ConnectionState,
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
        let pieces = parts.map { part in
            let count = request.count - keys.upperBound
            let frame = RequestFrame(users: part.users, of: request, options: options, optionCount: count)
            let slot = request.withArgument(part.users[0]) { Slot.of($0) }
            // Only reads behind the client's own events need them.
            let users = client.known.isEmpty ? [] : part.users.map { request.bytesOf($0) }
            return (users, frame, self.route(.mtopk, request, slot: slot, users: part.users.count, client))
        }
        let bytes = pieces.reduce(options.readableBytes) { $0 + $1.1.head.readableBytes }
        return .pending(bytes: bytes) { promise in
            let split = SplitRequest(reply: promise, partOf: order, parts: pieces.count)
            for (part, (users, frame, route)) in pieces.enumerated() {
                let decision = self.decisions.begin(
                    route.kind,
                    slot: route.slot,
                    client: connection.id,
                    now: Self.now()
                )
                if self.decisions.hasActions { self.act(later: true) }
                let id: RequestID
                let dispatch: Dispatch?
                switch decision {
                case .refuse(let failure):
                    var writer = ReplyWriter(version: connection.respVersion, buffer: ByteBuffer())
                    self.fail(failure, route.slot, Lane(route.kind), &writer)
                    let refusal = writer.buffer
                    // Not before the handler has returned.
                    self.loop.assumeIsolated().execute { split.end(with: refusal) }
                    continue
                case .send(let first): (id, dispatch) = (first.request, first)
                case .wait(let request): (id, dispatch) = (request, nil)
                }
                let row = self.makeRow(id)
                self.pending[row].begin(id, frame, users, route, client, connection, split: (split, part))
                self.link(row, to: client)
                if let dispatch { self.send(dispatch) }
            }
        }
    }
}
