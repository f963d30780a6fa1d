import AnnexCore

extension CommandSpecification {
    static let listReply = (
        "array of ids, best first; with options flat: id, score (bulk), attributes (bulk or null)",
        "array of ids, best first; with options an array of [id, score (double), attributes]"
    )

    static let topk = CommandSpecification(
        .handler(.topk),
        keys: .first,
        flags: ["readonly"],
        categories: ["@read", "@slow"],
        group: "user",
        summary:
            "The best k items for a user as of now, without what the user has seen and what `EXCLUDE` names. `HISTORY` is "
            + "folded in together with what is known of the user, stores nothing and serves unknown ids as well.",
        complexity: "One search: O(efSearch × log efSearch) on a graph, O(items read) else",
        arguments: [.key("user"), .integer("k")] + QueryOptions.all,
        reply: listReply,
        routing: .user,
        cost: ReadCost { request in
            // Nearly all requests.
            if request.count == 3 {
                let k = min(max(0, request.integer(2) ?? 0), Limits.maximumK)
                return ReadCost.search + k * ReadCost.tenthsPerResult / 10
            }
            guard let arguments = try? TopKArguments(request) else { return 0 }
            return arguments.options.microseconds(k: arguments.k, users: 1)
        }
    )
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
