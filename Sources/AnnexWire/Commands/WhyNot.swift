import AnnexCore

extension CommandSpecification {
    static let whynot = CommandSpecification(
        .handler(.whynot),
        keys: .first,
        flags: ["readonly"],
        categories: ["@read", "@slow"],
        group: "user",
        summary:
            "Why an item is not among the best k: `unknown-item`, `excluded`, `seen`, `rank` (others are better) or "
            + "`missed` (the search did not find it); `answered` where it is. With its true rank and scores.",
        complexity:
            "O(items × dimension), always on a worker thread: the rank is counted, not estimated. On very large indexes it "
            + "may end in TIMEOUT",
        arguments: [.key("user"), .string("item"), .integer("k")] + QueryOptions.searching,
        reply: (
            "flat array: reason, rank, score, kth-score; null where there is none",
            "map: reason, rank, score, kth-score; null where there is none"
        ),
        routing: .user,
        cost: .insight
    )
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
