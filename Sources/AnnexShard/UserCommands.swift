import AnnexCore
import AnnexEngine
import AnnexWire

/// TOPK, MTOPK and SCORE. What returns false has written nothing, as it would take longer than the budget: it is to be
/// asked again elsewhere.
enum UserCommands {
    static func topK(
        _ arguments: TopKArguments,
        _ request: Request,
        _ context: QueryContext,
        budget: Double,
        _ reply: inout ReplyWriter
    ) -> Bool {
        do throws(QueryFailure) {
            let wish = try QueryOptionsUse.begin(arguments.options, request, context, budget: budget)
            switch try QueryOptionsUse.useUser(request, arguments.user, wish, context) {
            case .costly: return false
            case .unknown:
                if context.usePopular(k: arguments.k) {
                    Self.write(arguments.options, context, &reply)
                } else {
                    Self.noUser(request, arguments.user, context, &reply)
                }
                return true
            case .ready: break
            }
            guard try QueryOptionsUse.search(arguments.options, arguments.k, context, budget: budget) else {
                return false
            }
            Self.write(arguments.options, context, &reply)
        } catch { reply.error(error.failure) }
        return true
    }

    static func manyTopK(
        _ arguments: MTopKArguments,
        _ request: Request,
        _ context: QueryContext,
        budget: Double,
        _ reply: inout ReplyWriter
    ) -> Bool {
        let start = reply.position
        do throws(QueryFailure) {
            let wish = try QueryOptionsUse.begin(arguments.options, request, context, budget: budget)
            reply.array(arguments.users.count)
            for user in arguments.users where !reply.isOverBudget {
                switch try QueryOptionsUse.useUser(request, user, wish, context) {
                case .costly:
                    reply.rewind(to: start)
                    return false
                case .unknown:
                    if context.usePopular(k: arguments.k) {
                        Self.write(arguments.options, context, &reply)
                    } else {
                        reply.nullArray()
                    }
                case .ready:
                    guard try QueryOptionsUse.search(arguments.options, arguments.k, context, budget: budget) else {
                        reply.rewind(to: start)
                        return false
                    }
                    Self.write(arguments.options, context, &reply)
                }
            }
        } catch {
            reply.rewind(to: start)
            reply.error(error.failure)
        }
        return true
    }

    static func score(
        _ arguments: ScoreArguments,
        _ request: Request,
        _ context: QueryContext,
        budget: Double,
        _ reply: inout ReplyWriter
    ) -> Bool {
        do throws(QueryFailure) {
            context.clearListed()
            let wish = UserWish(leavesOutSeen: false, budgetNanos: budget)
            switch try QueryOptionsUse.useUser(request, arguments.user, wish, context) {
            case .costly: return false
            case .unknown:
                Self.noUser(request, arguments.user, context, &reply)
                return true
            case .ready: break
            }
        } catch {
            reply.error(error.failure)
            return true
        }
        reply.array(arguments.items.count)
        for item in arguments.items {
            if let ordinal = request.withArgument(item, { context.ordinal(of: $0) }) {
                reply.double(context.score(ordinal))
            } else {
                reply.null()
            }
        }
        return true
    }

    static func noUser(
        _ request: Request,
        _ position: Int,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) {
        let served = context.version.description
        var text =
            "nothing is known of user '\(request.printable(position))' in index '\(served.index)' (\(served.userCount) users "
            + "in the version): check the id"
        if served.foldIn != nil {
            text += context.version.keepsState ? ", send an EVENT" : ""
            text += ", or ask with HISTORY"
        } else {
            text += ", or build a version with this user's factors"
        }
        reply.error(code: "NOUSER", text)
    }

    /// Ids, best first. With options RESP2 is flat, RESP3 has an array per item.
    private static func write(_ options: QueryOptions, _ context: QueryContext, _ reply: inout ReplyWriter) {
        let width = 1 + (options.withScores ? 1 : 0) + (options.withAttributes ? 1 : 0)
        let nested = width > 1 && reply.version == .three
        reply.array(nested ? context.hits.count : context.hits.count * width)
        for hit in context.hits where !reply.isOverBudget {
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
