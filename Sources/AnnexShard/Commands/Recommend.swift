import AnnexCore
import AnnexEngine
import AnnexWire

/// Knows of TOPK and MTOPK who asks, and how the answers are written.
struct Recommendation: Sendable {
    let request: Request
    /// The users' ids stand at these positions of the request.
    let users: Range<Int>
    /// Tells whether each user's answer is an element of the reply; else there is one user, whose answer is the reply.
    let isBatch: Bool
    let k: Int
    let options: QueryOptions

    init(_ arguments: TopKArguments, _ request: Request) {
        self.request = request
        self.users = arguments.user..<arguments.user + 1
        self.isBatch = false
        self.k = arguments.k
        self.options = arguments.options
    }

    init(_ arguments: MTopKArguments, _ request: Request) {
        self.request = request
        self.users = arguments.users
        self.isBatch = true
        self.k = arguments.k
        self.options = arguments.options
    }

    /// Estimates the least that it takes, in nanoseconds: each user is looked up, and what the client names.
    var leastNanos: Double {
        Double(self.users.count) * WorkEstimate.nanosPerUser + self.options.nanosToResolve
    }

    /// Writes the answers of the users at `users` from `first` on, in front of them what begins the reply.
    ///
    /// - Parameters:
    ///   - first: those before it have their answers.
    ///   - start: where the reply begins.
    /// - Returns: nil where the reply is whole; else the position of a user who costs more than the query's budget: the answers of
    ///   those before stand, and somebody else goes on from there.
    func answer(
        _ query: borrowing RecommendationQuery,
        _ context: QueryContext,
        from first: Int,
        start: Int,
        _ reply: inout ReplyWriter
    ) -> Int? {
        if self.isBatch, first == self.users.lowerBound { reply.array(self.users.count) }
        for user in first..<self.users.upperBound where !reply.isOverBudget {
            let answer: Answer
            do throws(AnnexError) {
                answer = try self.request.withIdentifier(user) { id throws(AnnexError) in
                    try context.answer(query, for: id)
                }
            } catch {
                if self.isBatch, error.code == .badInput {
                    // One user's history has no solution; the others have their answers.
                    reply.nullArray()
                    continue
                }
                reply.rewind(to: start)
                reply.error(error)
                return nil
            }
            switch answer {
            case .tooCostly: return user
            case .hits: self.write(context, &reply)
            case .unknownUser where self.isBatch: reply.nullArray()
            case .unknownUser: Self.noUser(self.request, user, context, &reply)
            }
        }
        return nil
    }

    /// Answers for all users likewise, into a reply that begins here.
    func answer(
        _ query: borrowing RecommendationQuery,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) -> Int? {
        self.answer(query, context, from: self.users.lowerBound, start: reply.position, &reply)
    }

    /// Writes the ids, best first. With options RESP2 is flat, and RESP3 has an array per item.
    private func write(_ context: QueryContext, _ reply: inout ReplyWriter) {
        let width = 1 + (self.options.withScores ? 1 : 0) + (self.options.withAttributes ? 1 : 0)
        let nested = width > 1 && reply.version == .three
        reply.array(nested ? context.hits.count : context.hits.count * width)
        for hit in context.hits where !reply.isOverBudget {
            if nested { reply.array(width) }
            context.withIdentifier(hit.ordinal) { reply.bulk($0) }
            if self.options.withScores { reply.double(hit.score) }
            if self.options.withAttributes { AttributeReply.write(hit.ordinal, context, &reply) }
        }
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
        reply.error(code: .noUser, text)
    }
}

/// Answers TOPK and MTOPK.
extension ShardHandler {
    func topk(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) -> Disposition {
        try self.recommend(Recommendation(try TopKArguments(request), request), &reply)
    }

    func mtopk(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) -> Disposition {
        try self.recommend(Recommendation(try MTopKArguments(request), request), &reply)
    }

    /// Answers here what fits the loop's budget, and elsewhere the rest. What the client names is looked up once.
    private func recommend(
        _ recommendation: Recommendation,
        _ reply: inout ReplyWriter
    ) throws(ArgumentFailure) -> Disposition {
        let options = recommendation.options
        let lane = try self.freshLane(recommendation.request, name: options.index)
        try options.check(lane.version.description)
        let left = WorkEstimate.loopBudgetNanos - recommendation.leastNanos
        guard left > 0 else {
            return Self.onWorker(lane.version) { context, reply in
                do throws(ArgumentFailure) {
                    let query = try RecommendationQuery(options, k: recommendation.k, recommendation.request, context)
                    _ = recommendation.answer(query, context, &reply)
                } catch { reply.error(error) }
            }
        }
        var query = try RecommendationQuery(options, k: recommendation.k, recommendation.request, lane.context)
        query.user.budgetNanos = left / Double(recommendation.users.count)
        let start = reply.position
        var next: Int?
        let fits = reply.write(within: WorkEstimate.loopReplyBytes) {
            next = recommendation.answer(query, lane.context, &$0)
        }
        if fits, next == nil { return .done }
        query.user.budgetNanos = .infinity
        let whole = query
        // The answers that there are go along: nobody is searched for twice, but the one who turned out to cost too much.
        let first = fits ? next ?? recommendation.users.lowerBound : recommendation.users.lowerBound
        let made = first == recommendation.users.lowerBound ? nil : reply.copy(from: start)
        reply.rewind(to: start)
        return Self.onWorker(lane.version) { context, reply in
            let start = reply.position
            if let made { reply.encoded(made) }
            _ = recommendation.answer(whole, context, from: first, start: start, &reply)
        }
    }
}
