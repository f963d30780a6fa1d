package import AnnexCore

/// The options of `TOPK`, `MTOPK` and `WHYNOT`, in any order after the fixed arguments, each at most once; `EF`, `NPROBE`,
/// `KAPPA` and `TRUTH` exclude one another. A second one, an unknown one and one without its value are `ERR syntax error near 'WORD'`.
///
/// Everything is a position in the request or a number: nothing is copied or allocated.
package struct QueryOptions: Equatable, Sendable {
    /// Position of the index's name; nil where it was left out.
    package private(set) var index: Int?
    /// Positions of the items to leave out.
    package private(set) var exclude = 0..<0
    /// Nil: the version's own operating point.
    package private(set) var effort: SearchEffort?
    package private(set) var withScores = false
    package private(set) var withAttributes = false
    /// Whether seen items may be answers.
    package private(set) var withSeen = false
    /// Positions of the items of `HISTORY`; nil where it was not given.
    package private(set) var history: Range<Int>?
    /// Positions of their weights, as many; nil: all 1.
    package private(set) var weights: Range<Int>?
    private var hasExclude = false

    /// O(options + weights); items are not looked at.
    init(_ request: Request, from start: Int) throws(ArgumentFailure) {
        var position = start
        while position < request.count { position = try self.take(request, position) }
    }

    /// Takes the option at `at`; the position of the next one.
    private mutating func take(_ request: Request, _ at: Int) throws(ArgumentFailure) -> Int {
        if !self.withScores, request.matches(at, "WITHSCORES") {
            self.withScores = true
            return at + 1
        }
        if !self.withAttributes, request.matches(at, "WITHATTRIBS") {
            self.withAttributes = true
            return at + 1
        }
        if !self.withSeen, request.matches(at, "WITHSEEN") {
            self.withSeen = true
            return at + 1
        }
        if self.effort == nil, request.matches(at, "TRUTH") {
            self.effort = .exact
            return at + 1
        }
        guard at + 1 < request.count else { throw .syntax(request, near: at) }
        if self.index == nil, request.matches(at, "INDEX") {
            self.index = at + 1
            return at + 2
        }
        if self.effort == nil, request.matches(at, "EF") {
            self.effort = .efSearch(try request.integer(at + 1, "EF", in: 1...Limits.maximumEfSearch))
            return at + 2
        }
        if self.effort == nil, request.matches(at, "NPROBE") {
            self.effort = .nprobe(try request.integer(at + 1, "NPROBE", in: 1...Limits.maximumNprobe))
            return at + 2
        }
        if self.effort == nil, request.matches(at, "KAPPA") {
            self.effort = .kappa(try request.kappa(at + 1))
            return at + 2
        }
        if self.history == nil, request.matches(at, "HISTORY") { return try self.takeHistory(request, at) }
        if !self.hasExclude, request.matches(at, "EXCLUDE") {
            self.hasExclude = true
            self.exclude = try request.counted(at + 1, "items", minimum: 0)
            return self.exclude.upperBound
        }
        throw .syntax(request, near: at)
    }

    /// `HISTORY n item … [WEIGHTS w …]`. An item that is named WEIGHTS is one of the n, so it is not mistaken.
    private mutating func takeHistory(_ request: Request, _ at: Int) throws(ArgumentFailure) -> Int {
        let items = try request.counted(at + 1, "items", minimum: 0)
        self.history = items
        let next = items.upperBound
        guard next < request.count, request.matches(next, "WEIGHTS") else { return next }
        let weights = next + 1..<next + 1 + items.count
        guard weights.upperBound <= request.count else {
            throw ArgumentFailure("WEIGHTS needs \(items.count) numbers, as many as HISTORY has items")
        }
        for position in weights { _ = try request.weight(position) }
        self.weights = weights
        return weights.upperBound
    }
}

/// `TOPK user k [options]`.
package struct TopKArguments: Equatable, Sendable {
    /// Position of the user's id.
    package var user: Int { 1 }
    /// 1 to 10,000.
    package let k: Int
    package let options: QueryOptions

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        self.k = try request.integer(2, "k", in: 1...Limits.maximumK)
        self.options = try QueryOptions(request, from: 3)
    }
}

/// `MTOPK n user … k [options]`: n × k at most 100,000, n × items of `HISTORY` too.
package struct MTopKArguments: Equatable, Sendable {
    /// Positions of the users' ids, at least one.
    package let users: Range<Int>
    /// 1 to 10,000.
    package let k: Int
    package let options: QueryOptions

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        self.users = try request.counted(1, "users", minimum: 1, following: 1)
        self.k = try request.integer(self.users.upperBound, "k", in: 1...Limits.maximumK)
        let (results, overflow) = self.users.count.multipliedReportingOverflow(by: self.k)
        guard !overflow, results <= Limits.maximumBatchResults else {
            throw ArgumentFailure(
                "\(self.users.count) users × \(self.k) results are more than \(Limits.maximumBatchResults): ask in parts"
            )
        }
        self.options = try QueryOptions(request, from: self.users.upperBound + 1)
        let items = self.users.count * (self.options.history?.count ?? 0)
        guard items <= Limits.maximumBatchHistory else {
            throw ArgumentFailure(
                "\(self.users.count) users × \(items / self.users.count) items of HISTORY are more than "
                    + "\(Limits.maximumBatchHistory): ask in parts"
            )
        }
    }
}

/// `SCORE user n item … [INDEX name]`.
package struct ScoreArguments: Equatable, Sendable {
    /// Position of the user's id.
    package var user: Int { 1 }
    /// Positions of the items' ids, at least one.
    package let items: Range<Int>
    /// Position of the index's name; nil where it was left out.
    package let index: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        self.items = try request.counted(2, "items", minimum: 1)
        self.index = try NamedArguments(request, fixed: self.items.upperBound).index
    }
}
