package import AnnexCore

/// `EVENT user item [weight] [AT unix-ms] [INDEX name]`.
package struct EventArguments: Equatable, Sendable {
    /// Position of the user's id.
    package var user: Int { 1 }
    /// Position of the item's id.
    package var item: Int { 2 }
    /// 1 where it was left out.
    package private(set) var weight = 1.0
    /// Milliseconds since 1970; nil: the receiver stamps it.
    package private(set) var time: Int64?
    /// Position of the index's name; nil where it was left out.
    package private(set) var index: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        var at = 3
        // What could be a weight is one: a word that follows neither AT nor INDEX.
        if at < request.count, !request.matches(at, "AT"), !request.matches(at, "INDEX") {
            self.weight = try request.weight(at)
            at += 1
        }
        while at < request.count {
            guard at + 1 < request.count else { throw .syntax(request, near: at) }
            if self.time == nil, request.matches(at, "AT") {
                guard let time = request.integer(at + 1) else {
                    throw ArgumentFailure(
                        "invalid AT '\(request.printable(at + 1))': give whole milliseconds since 1970, in 64 bits"
                    )
                }
                if let problem = EventTime.problem(Int64(time)) {
                    throw ArgumentFailure("invalid AT '\(request.printable(at + 1))': the time \(problem)")
                }
                self.time = Int64(time)
            } else if self.index == nil, request.matches(at, "INDEX") {
                self.index = at + 1
            } else {
                throw .syntax(request, near: at)
            }
            at += 2
        }
    }
}

/// `WAITPOS user position [TIMEOUT ms]`.
package struct WaitPositionArguments: Equatable, Sendable {
    package let token: PositionToken
    package let milliseconds: Int

    /// The arity must have been checked.
    ///
    /// - Throws: where the position is none, or none of the user's.
    package init(_ request: Request) throws(ArgumentFailure) {
        guard let token = request.withArgument(2, { PositionToken($0) }) else {
            throw ArgumentFailure(
                "'\(request.printable(2))' is no position: give one as EVENT answers it after CLIENT CAPA position"
            )
        }
        guard request.withArgument(1, { Slot.block(of: Slot.of($0)) }) == token.block else {
            throw ArgumentFailure("'\(request.printable(2))' is no position of user '\(request.printable(1))'")
        }
        self.token = token
        guard request.count > 3 else {
            self.milliseconds = 1_000
            return
        }
        guard request.matches(3, "TIMEOUT") else { throw .syntax(request, near: 3) }
        guard request.count == 5 else { throw .syntax(request, near: request.count == 4 ? 3 : 5) }
        self.milliseconds = try request.integer(4, "TIMEOUT", in: 0...60_000)
    }
}

/// Fixed words, then perhaps an index: `EVENT.DEL user item [INDEX name]`, `FORGET user [INDEX name]`, the end of `SCORE`.
package struct NamedArguments: Equatable, Sendable {
    /// Position of the index's name; nil where it was left out.
    package let index: Int?

    /// - Parameter fixed: the words before the option, the command's name among them. The arity must have been checked.
    package init(_ request: Request, fixed: Int) throws(ArgumentFailure) {
        guard fixed < request.count else {
            self.index = nil
            return
        }
        guard fixed + 2 <= request.count, request.matches(fixed, "INDEX") else { throw .syntax(request, near: fixed) }
        guard fixed + 2 == request.count else { throw .syntax(request, near: fixed + 2) }
        self.index = fixed + 1
    }
}

/// `SEEN user [COUNT n] [WITHTIMES] [INDEX name]`, and `EXPLAIN user item [COUNT n] [INDEX name]`, which has no times.
package struct ListArguments: Equatable, Sendable {
    package static let maximumCount = 1_000_000

    /// At most so many.
    package private(set) var count: Int?
    package private(set) var withTimes = false
    /// Position of the index's name; nil where it was left out.
    package private(set) var index: Int?

    /// - Parameters:
    ///   - fixed: the words before the options, the command's name among them. The arity must have been checked.
    ///   - times: whether `WITHTIMES` is an option.
    package init(_ request: Request, fixed: Int, times: Bool) throws(ArgumentFailure) {
        var at = fixed
        while at < request.count {
            if times, !self.withTimes, request.matches(at, "WITHTIMES") {
                self.withTimes = true
                at += 1
                continue
            }
            guard at + 1 < request.count else { throw .syntax(request, near: at) }
            if self.count == nil, request.matches(at, "COUNT") {
                self.count = try request.integer(at + 1, "COUNT", in: 1...Self.maximumCount)
            } else if self.index == nil, request.matches(at, "INDEX") {
                self.index = at + 1
            } else {
                throw .syntax(request, near: at)
            }
            at += 2
        }
    }
}

/// `WHYNOT user item k [options of TOPK]`.
package struct WhyNotArguments: Equatable, Sendable {
    /// Position of the user's id.
    package var user: Int { 1 }
    /// Position of the item's id.
    package var item: Int { 2 }
    /// 1 to 10,000.
    package let k: Int
    package let options: QueryOptions

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        self.k = try request.integer(3, "k", in: 1...Limits.maximumK)
        self.options = try QueryOptions(request, from: 4)
        if self.options.withScores || self.options.withAttributes {
            throw ArgumentFailure(
                "WHYNOT always tells scores and never attributes: leave WITHSCORES and WITHATTRIBS out"
            )
        }
    }
}
