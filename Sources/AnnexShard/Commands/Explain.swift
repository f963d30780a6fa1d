import AnnexCore
import AnnexEngine
import AnnexWire

/// Answers EXPLAIN.
extension ShardHandler {
    func explain(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) -> Disposition {
        let arguments = try ExplainArguments(request)
        let lane = try self.freshLane(request, name: arguments.index)
        return self.run(lane, .infinity, &reply) { Self.explain(arguments, request, $0, &$1) }
    }

    private static func explain(
        _ arguments: ExplainArguments,
        _ request: Request,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) {
        guard let item = request.withIdentifier(arguments.item, { context.ordinal(of: $0) }) else {
            return Self.noItem(request, arguments.item, context, &reply)
        }
        let explanation: Explanation
        do throws(AnnexError) {
            explanation = try request.withIdentifier(arguments.user) { id throws(AnnexError) in
                try context.explain(id, item: item, count: arguments.count)
            }
        } catch {
            guard error.code == .notFound else { return reply.error(error) }
            return Recommendation.noUser(request, arguments.user, context, &reply)
        }
        reply.map(6)
        reply.bulk("score")
        reply.double(explanation.score)
        reply.bulk("method")
        reply.bulk(explanation.method)
        reply.bulk("events")
        reply.integer(explanation.events)
        reply.bulk("baseline")
        reply.double(explanation.baseline)
        reply.bulk("contributions")
        reply.array(explanation.parts.count)
        for part in explanation.parts {
            reply.array(3)
            context.withIdentifier(part.ordinal) { reply.bulk($0) }
            reply.double(part.weight)
            reply.double(part.contribution)
        }
        reply.bulk("rest")
        reply.double(explanation.rest)
    }

    private static func noItem(
        _ request: Request,
        _ position: Int,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) {
        reply.error(
            code: .noItem,
            "no item '\(request.printable(position))' in index '\(context.version.description.index)': check the id"
        )
    }
}
