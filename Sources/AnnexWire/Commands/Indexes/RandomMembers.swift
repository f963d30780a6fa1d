import AnnexCore

extension CommandSpecification {
    static let vrandmember = CommandSpecification(
        .handler(.vrandmember),
        keys: .first,
        flags: ["readonly"],
        categories: ["@read", "@fast", "@vectorset"],
        tips: ["nondeterministic_output"],
        group: "vector_set",
        summary: "Random items; a negative count allows repeats, 0 gives none.",
        complexity: "O(count)",
        arguments: [.key("key"), CommandArgument.integer("count").optional],
        reply: ("bulk string, or an array with a count", "bulk string, or an array with a count"),
        routing: .anywhere,
        cost: ReadCost { request in
            let count = request.count > 2 ? request.integer(2) ?? 0 : 1
            return Int(min(count.magnitude, UInt(Limits.maximumRandomCount))) * ReadCost.tenthsPerResult / 10
        }
    )
}

/// `VRANDMEMBER key [count]`.
package struct VRandMemberArguments: Equatable, Sendable {
    /// Position of the index's name.
    package var key: Int { 1 }
    /// −10,000 to 10,000; negative: repeats are allowed; nil: one member, not an array.
    package let count: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        guard request.count > 2 else {
            self.count = nil
            return
        }
        guard let count = request.integer(2) else { throw ArgumentFailure("COUNT value is not an integer") }
        guard count.magnitude <= UInt(Limits.maximumRandomCount) else {
            throw ArgumentFailure(
                "COUNT value is out of range: give -\(Limits.maximumRandomCount) to \(Limits.maximumRandomCount)"
            )
        }
        self.count = count
    }
}
