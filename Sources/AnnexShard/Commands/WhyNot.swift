import AnnexCore
import AnnexEngine
import AnnexWire

/// Answers WHYNOT.
extension ShardHandler {
    func whyNot(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) -> Disposition {
        let arguments = try WhyNotArguments(request)
        let lane = try self.freshLane(request, name: arguments.options.index)
        try arguments.options.check(lane.version.description)
        return self.run(lane, .infinity, &reply) { Self.whyNot(arguments, request, $0, &$1) }
    }

    private static func whyNot(
        _ arguments: WhyNotArguments,
        _ request: Request,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) {
        let item = request.withIdentifier(arguments.item) { context.ordinal(of: $0) }
        let isListed = arguments.options.exclude.contains { position in
            request.withArgument(position) { listed in
                request.withArgument(arguments.item) { $0.elementsEqual(listed) }
            }
        }
        let found: WhyNot?
        do throws(ArgumentFailure) {
            let query = try RecommendationQuery(arguments.options, k: arguments.k, request, context)
            do throws(AnnexError) {
                found = try request.withIdentifier(arguments.user) { id throws(AnnexError) in
                    try context.whyNot(query, item: item, isListed: isListed, for: id)
                }
            } catch { throw ArgumentFailure(error) }
        } catch { return reply.error(error) }
        guard let why = found else { return Recommendation.noUser(request, arguments.user, context, &reply) }
        reply.map(4)
        reply.bulk("reason")
        reply.bulk(why.reason.rawValue)
        reply.bulk("rank")
        if let rank = why.rank { reply.integer(rank) } else { reply.null() }
        for (name, score) in [("score", why.score), ("kth-score", why.kthScore)] {
            reply.bulk(name)
            if let score { reply.double(score) } else { reply.null() }
        }
    }
}
