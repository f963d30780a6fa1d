import AnnexCore
import AnnexEngine
import AnnexWire

/// TOPK and MTOPK: who asks, and how the answers are written.
struct Recommendation: Sendable {
    let request: Request
    /// Positions of the users' ids.
    let users: Range<Int>
    /// Whether each user's answer is an element of the reply; else there is one user, whose answer is the reply.
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

    /// About the least that it takes, in nanoseconds: each user is looked up, and what the client names.
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
                    // Of one user, whose history has no solution; the others have their answers.
                    reply.nullArray()
                    continue
                }
                reply.rewind(to: start)
                reply.error(code: .error, "\(error)")
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

    /// The same for all users, into a reply that begins here.
    func answer(
        _ query: borrowing RecommendationQuery,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) -> Int? {
        self.answer(query, context, from: self.users.lowerBound, start: reply.position, &reply)
    }

    /// Ids, best first. With options RESP2 is flat, RESP3 has an array per item.
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

enum ScoreCommand {
    /// False where the user's vector takes longer than the budget: nothing is written then.
    static func score(
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
            reply.error(code: .error, "\(error)")
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

enum AttributeReply {
    /// The JSON text, or null.
    static func write(_ ordinal: Int32, _ context: QueryContext, _ reply: inout ReplyWriter) {
        context.withAttributes(ordinal) { json in
            if let json { reply.bulk(json) } else { reply.null() }
        }
    }
}

extension Request {
    /// Lends the bytes of one argument.
    func withIdentifier<R, Failure>(
        _ index: Int,
        _ body: (Span<UInt8>) throws(Failure) -> R
    ) throws(Failure) -> R {
        let result: Result<R, Failure> = self.withArgument(index) { bytes in
            do throws(Failure) { return .success(try body(Span(_unsafeBytes: bytes))) } catch { return .failure(error) }
        }
        return try result.get()
    }
}

extension ReplyWriter {
    /// A bulk string of lent bytes.
    mutating func bulk(_ bytes: Span<UInt8>) { bytes.withUnsafeBytes { self.bulk($0) } }
}
