package import AnnexCore

extension CommandSpecification {
    static let waitpos = CommandSpecification(
        .handler(.waitpos),
        keys: .first,
        flags: ["readonly", "blocking"],
        categories: ["@read", "@slow", "@blocking"],
        group: "user",
        summary:
            "Waits until this replica has applied a position that EVENT, EVENT.DEL or FORGET gave of this user (see "
            + "`CLIENT CAPA position`), at most 1000 ms or as many as are given, up to 60000; `TIMEOUT` then. Commands "
            + "behind it on the connection wait as well. A position of a log that was replaced is answered at once: "
            + "`IGNORED`, and why. Needs `--log`.",
        complexity: "O(1)",
        arguments: [.key("user"), .string("position")] + WaitPositionArguments.options,
        reply: ("simple string: OK, or IGNORED and why", "as RESP2"),
        routing: .atRouter(.waitForPosition),
        cost: .negligible,
        // Reads behind it must wait.
        pipelineClass: .alone
    )
}

/// `WAITPOS user position [TIMEOUT ms]`.
package struct WaitPositionArguments: Equatable, Sendable {
    private enum Option: String, CaseIterable, Sendable { case timeout = "TIMEOUT" }

    static let options: [CommandArgument] = [CommandArgument.integer("ms", token: "TIMEOUT").optional]
    private static let grammar = OptionGrammar<Option>(Self.options)

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
        var timeout: Int?
        var reader = OptionReader(Self.grammar, from: 3)
        while let found = try reader.next(in: request) {
            switch found.option {
            case .timeout: timeout = found.values.lowerBound
            }
        }
        guard let timeout else {
            self.milliseconds = 1_000
            return
        }
        self.milliseconds = try request.integer(timeout, "TIMEOUT", in: 0...60_000)
    }
}
