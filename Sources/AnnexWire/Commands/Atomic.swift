import AnnexCore

extension CommandSpecification {
    static let atomic = CommandSpecification(
        .handler(.atomic),
        keys: .first,
        flags: ["write", "denyoom"],
        categories: ["@write", "@slow"],
        group: "user",
        summary:
            "Stores several changes together, all or none: for each the number of its words, then the words, as in "
            + "`ATOMIC u1 3 EVENT u1 i7 2 FORGET {u1}b`. All are of users in the slot of `user`; at most 500, with a log 100. `MULTI` is "
            + "the usual way to ask for this; a router sends it in this form. Needs `--state`.",
        complexity: "That of the changes",
        arguments: [.key("user"), CommandArgument.block("change", [.integer("words"), .string("word")]).multiple],
        reply: ("array of the changes' replies", "array of the changes' replies"),
        routing: .changes,
        cost: .negligible,
        inTransaction: .refused
    )
}

/// `ATOMIC user words word… [words word…]…`: several changes as one command.
package struct AtomicArguments: Sendable {
    /// Each as if it had come alone.
    package let changes: [ParsedChange]

    /// The arity must have been checked.
    ///
    /// - Throws: where the words are no changes, too many, or of users in another slot.
    package init(_ request: Request) throws(ArgumentFailure) {
        var requests: [Request] = []
        var at = 2
        while at < request.count {
            let words = try request.counted(at, "words", minimum: 1)
            guard requests.count < Limits.maximumTransactionChanges else {
                throw ArgumentFailure("more than \(Limits.maximumTransactionChanges) changes: send them in parts")
            }
            requests.append(Request(words, of: request))
            at = words.upperBound
        }
        let slot = request.withArgument(1) { Slot.of($0) }
        var changes: [ParsedChange] = []
        changes.reserveCapacity(requests.count)
        for change in requests {
            changes.append(try ParsedChange(change))
            guard change.withArgument(1, { Slot.of($0) }) == slot else {
                throw ArgumentFailure(
                    code: .crossSlot,
                    "user '\(change.printable(1))' is not in the slot of '\(request.printable(1))': send each slot's changes "
                        + "apart"
                )
            }
        }
        self.changes = changes
    }

    /// The words of the command that carries these changes.
    package static func words(of changes: [Request]) -> [[UInt8]] {
        var words = [Array("ATOMIC".utf8)]
        words.append(changes[0].bytesOf(1))
        for change in changes {
            words.append(Array("\(change.count)".utf8))
            for index in 0..<change.count { words.append(change.bytesOf(index)) }
        }
        return words
    }
}
