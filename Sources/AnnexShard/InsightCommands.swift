import AnnexCore
import AnnexEngine
import AnnexWire

/// SEEN, EXPLAIN and WHYNOT: what is known of a user, and why answers are what they are.
enum InsightCommands {
    /// False where more than `limit` events and trained items would have to be read: nothing is written then.
    static func seen(
        _ arguments: ListArguments,
        _ request: Request,
        _ context: QueryContext,
        limit: Int,
        _ reply: inout ReplyWriter
    ) -> Bool {
        let found: [SeenItem]?
        do {
            found = try request.withIdentifier(1) {
                try context.seen(by: $0, count: arguments.count ?? Int.max, limit: limit)
            }
        } catch {
            reply.error(code: .error, "\(error)")
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

    static func explain(
        _ arguments: ListArguments,
        _ request: Request,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) {
        guard let item = request.withIdentifier(2, { context.ordinal(of: $0) }) else {
            return Self.noItem(request, 2, context, &reply)
        }
        let explanation: Explanation
        do {
            explanation = try request.withIdentifier(1) {
                try context.explain($0, item: item, count: arguments.count ?? 10)
            }
        } catch let error as AnnexError where error.code == .notFound {
            return Recommendation.noUser(request, 1, context, &reply)
        } catch { return reply.error(code: .error, "\(error)") }
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

    static func whyNot(
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
            } catch { throw ArgumentFailure("\(error)") }
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
