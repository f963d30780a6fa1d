import AnnexCore

extension CommandSpecification {
    static let mtopk = CommandSpecification(
        .handler(.mtopk),
        keys: .counted,
        flags: ["readonly"],
        categories: ["@read", "@slow"],
        tips: ["request_policy:multi_shard"],
        group: "user",
        summary: "The best k items for each of n users.",
        complexity: "n searches",
        arguments: [.integer("n"), CommandArgument.key("user").multiple, .integer("k")] + QueryOptions.all,
        reply: (
            "array of n replies of TOPK; null for an unknown user",
            "array of n replies of TOPK; null for an unknown user"
        ),
        routing: .users,
        cost: ReadCost { request in
            guard let arguments = try? MTopKArguments(request) else { return 0 }
            return arguments.microseconds(users: arguments.users.count)
        }
    )
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

    /// Microseconds that a shard takes for so many of the users, as `ReadCost`.
    package func microseconds(users: Int) -> Int { self.options.microseconds(k: self.k, users: users) }
}
