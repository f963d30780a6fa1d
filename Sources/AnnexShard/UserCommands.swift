import AnnexCore
import AnnexEngine
import AnnexWire

/// TOPK, MTOPK and SCORE.
enum UserCommands {
    static func topK(
        _ arguments: TopKArguments,
        _ effort: SearchEffort,
        _ request: Request,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) {
        guard request.withArgument(arguments.user, { context.useUser($0) }) else {
            return Self.noUser(request, arguments.user, context, &reply)
        }
        Self.exclude(arguments.options, request, context)
        do throws(AnnexError) {
            _ = try context.search(k: arguments.k, effort: effort)
            Self.write(arguments.options, context, &reply)
        } catch {
            reply.error(code: "ERR", "\(error)")
        }
    }

    static func manyTopK(
        _ arguments: MTopKArguments,
        _ effort: SearchEffort,
        _ request: Request,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) {
        let start = reply.position
        reply.array(arguments.users.count)
        Self.exclude(arguments.options, request, context)
        for user in arguments.users {
            guard request.withArgument(user, { context.useUser($0) }) else {
                reply.nullArray()
                continue
            }
            do throws(AnnexError) {
                _ = try context.search(k: arguments.k, effort: effort)
                Self.write(arguments.options, context, &reply)
            } catch {
                reply.rewind(to: start)
                return reply.error(code: "ERR", "\(error)")
            }
        }
    }

    static func score(
        _ arguments: ScoreArguments,
        _ request: Request,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) {
        guard request.withArgument(arguments.user, { context.useUser($0) }) else {
            return Self.noUser(request, arguments.user, context, &reply)
        }
        reply.array(arguments.items.count)
        for item in arguments.items {
            if let ordinal = request.withArgument(item, { context.ordinal(of: $0) }) {
                reply.double(context.score(ordinal))
            } else {
                reply.null()
            }
        }
    }

    /// Unknown items cannot be answers: nothing to leave out.
    private static func exclude(_ options: QueryOptions, _ request: Request, _ context: QueryContext) {
        context.beginExclusions()
        for item in options.exclude {
            if let ordinal = request.withArgument(item, { context.ordinal(of: $0) }) { context.exclude(ordinal) }
        }
    }

    private static func noUser(
        _ request: Request,
        _ position: Int,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) {
        let served = context.version.description
        reply.error(
            code: "NOUSER",
            "no user '\(request.printable(position))' in index '\(served.index)' (\(served.userCount) users): check the id, "
                + "or build a version with this user's factors"
        )
    }

    /// Ids, best first. With options RESP2 is flat, RESP3 has an array per item.
    private static func write(_ options: QueryOptions, _ context: QueryContext, _ reply: inout ReplyWriter) {
        let width = 1 + (options.withScores ? 1 : 0) + (options.withAttributes ? 1 : 0)
        let nested = width > 1 && reply.version == .three
        reply.array(nested ? context.hits.count : context.hits.count * width)
        for hit in context.hits {
            if nested { reply.array(width) }
            context.withIdentifier(hit.ordinal) { reply.bulk($0) }
            if options.withScores { reply.double(hit.score) }
            if options.withAttributes { AttributeReply.write(hit.ordinal, context, &reply) }
        }
    }
}

enum AttributeReply {
    /// The JSON text, or null.
    static func write(_ ordinal: Int32, _ context: QueryContext, _ reply: inout ReplyWriter) {
        context.withAttributes(ordinal) { json in
            if let json { reply.bulk(json) } else { reply.null() }
        }
    }
}
