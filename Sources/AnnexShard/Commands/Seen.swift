import AnnexCore
import AnnexEngine
import AnnexWire

/// Answers SEEN.
extension ShardHandler {
    func seen(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) -> Disposition {
        let arguments = try SeenArguments(request)
        let lane = try self.freshLane(request, name: arguments.index)
        let limit = Int(WorkEstimate.loopBudgetNanos / WorkEstimate.nanosPerSeenItem)
        // The command says why, where even this cannot be read.
        let nanos = (try? request.withIdentifier(arguments.user) { try lane.context.nanosToRead($0) }) ?? 0
        let mayFit = nanos <= WorkEstimate.loopBudgetNanos || arguments.count ?? .max <= limit
        let isMade = mayFit && Self.here(&reply) { Self.seen(arguments, request, lane.context, limit: limit, &$0) }
        if isMade { return .done }
        return Self.onWorker(lane.version) { _ = Self.seen(arguments, request, $0, limit: .max, &$1) }
    }

    /// Returns false where more than `limit` events and trained items would have to be read: nothing is written then.
    private static func seen(
        _ arguments: SeenArguments,
        _ request: Request,
        _ context: QueryContext,
        limit: Int,
        _ reply: inout ReplyWriter
    ) -> Bool {
        let found: [SeenItem]?
        do throws(AnnexError) {
            found = try request.withIdentifier(arguments.user) { id throws(AnnexError) in
                try context.seen(by: id, count: arguments.count ?? Int.max, limit: limit)
            }
        } catch {
            reply.error(error)
            return true
        }
        guard let items = found else { return false }
        let nested = arguments.withTimes && reply.version == .three
        reply.array(arguments.withTimes && !nested ? items.count * 2 : items.count)
        for seen in items where !reply.isOverBudget {
            if nested { reply.array(2) }
            seen.item.withUnsafeBytes { reply.bulk($0) }
            guard arguments.withTimes else { continue }
            if let time = seen.time { reply.integer(Int(time)) } else { reply.null() }
        }
        return true
    }
}
