import AnnexCore
import AnnexEngine
import AnnexWire

/// Runs short queries on the loop, and the others on a worker thread.
extension ShardHandler {
    /// Makes a reply here. False where it takes too long, as `body` says, or gets too large: nothing is written then.
    static func here(_ reply: inout ReplyWriter, _ body: (inout ReplyWriter) -> Bool) -> Bool {
        let start = reply.position
        var isMade = false
        let fits = reply.write(within: WorkEstimate.loopReplyBytes) { isMade = body(&$0) }
        if !isMade { reply.rewind(to: start) }
        return fits && isMade
    }

    /// Runs `body` here, or on a worker thread with another context.
    func run(
        _ lane: Lane,
        _ nanos: Double,
        _ reply: inout ReplyWriter,
        _ body: @escaping @Sendable (QueryContext, inout ReplyWriter) -> Void
    ) -> Disposition {
        let isShort = nanos <= WorkEstimate.loopBudgetNanos
        let isMade = isShort && reply.write(within: WorkEstimate.loopReplyBytes) { body(lane.context, &$0) }
        return isMade ? .done : Self.onWorker(lane.version, body)
    }

    /// Does the same for what needs no version.
    static func run(
        _ nanos: Double,
        _ reply: inout ReplyWriter,
        _ body: @escaping @Sendable (inout ReplyWriter) -> Void
    ) -> Disposition {
        guard nanos <= WorkEstimate.loopBudgetNanos else { return .elsewhere(.query) { reply, _ in body(&reply) } }
        body(&reply)
        return .done
    }

    /// Runs `body` on a worker thread, with a context of its own.
    static func onWorker(
        _ version: ServedVersion,
        _ body: @escaping @Sendable (QueryContext, inout ReplyWriter) -> Void
    ) -> Disposition {
        .elsewhere(.query) { reply, stop in
            do throws(AnnexError) {
                let context = try version.borrowContext(stop: stop)
                body(context, &reply)
                version.giveBack(context)
            } catch {
                reply.error(error)
            }
        }
    }
}
