import AnnexCore
import AnnexEngine
import AnnexWire

/// SCORE.
extension ShardHandler {
    func score(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) -> Disposition {
        let arguments = try ScoreArguments(request)
        let lane = try self.freshLane(request, name: arguments.index)
        let budget = WorkEstimate.loopBudgetNanos - Double(arguments.items.count) * WorkEstimate.nanosPerIdentifier
        if budget > 0, Self.here(&reply, { Score.write(arguments, request, lane.context, budget: budget, &$0) }) {
            return .done
        }
        return Self.onWorker(lane.version) { _ = Score.write(arguments, request, $0, budget: .infinity, &$1) }
    }
}

private enum Score {
    /// Returns false where the user's vector takes longer than the budget: nothing is written then.
    static func write(
        _ arguments: ScoreArguments,
        _ request: Request,
        _ context: QueryContext,
        budget: Double,
        _ reply: inout ReplyWriter
    ) -> Bool {
        let answer: Answer
        do throws(AnnexError) {
            answer = try request.withIdentifier(arguments.user) { id throws(AnnexError) in
                try context.beginScoring(for: id, budgetNanos: budget)
            }
        } catch {
            reply.error(error)
            return true
        }
        switch answer {
        case .tooCostly: return false
        case .unknownUser: Recommendation.noUser(request, arguments.user, context, &reply)
        case .hits:
            reply.array(arguments.items.count)
            for item in arguments.items {
                if let ordinal = request.withIdentifier(item, { context.ordinal(of: $0) }) {
                    reply.double(context.score(ordinal))
                } else {
                    reply.null()
                }
            }
        }
        return true
    }
}
