import AnnexCore

extension CommandSpecification {
    static let hello = CommandSpecification(
        .connection(.hello),
        flags: fastFlags,
        categories: ["@fast", "@connection"],
        group: "connection",
        summary: "Chooses the protocol version; may authenticate and name the connection as well.",
        arguments: [
            .block(
                "arguments",
                [.integer("protover")] + HelloArguments.options
            ).optional
        ],
        reply: ("flat array of server, version, proto, id, mode, role, modules", "map"),
        beforeAuthentication: true,
        inTransaction: .refused
    )
}

/// `HELLO [version [AUTH user password] [SETNAME name]]`. The last one of an option counts.
package struct HelloArguments: Equatable, Sendable {
    private enum Option: String, CaseIterable, Sendable {
        case auth = "AUTH"
        case name = "SETNAME"
    }

    static let options: [CommandArgument] = [
        .block("auth", token: "AUTH", [.string("username"), .string("password")]).optional,
        .string("clientname", token: "SETNAME").optional,
    ]
    private static let grammar = OptionGrammar<Option>(Self.options, .lastCounts)

    /// Nil: that of before.
    package let version: RESPVersion?
    /// Position of the user's name, in front of the password; nil where nobody logs in.
    package private(set) var user: Int?
    package private(set) var name: String?

    package init(_ request: Request) throws(ArgumentFailure) {
        guard request.count > 1 else {
            self.version = nil
            return
        }
        guard let number = request.integer(1) else {
            throw ArgumentFailure("Protocol version is not an integer or out of range")
        }
        guard let known = RESPVersion(rawValue: number) else {
            throw ArgumentFailure(code: .noProtocol, "unsupported protocol version")
        }
        self.version = known
        var reader = OptionReader(Self.grammar, from: 2)
        while let found = try reader.next(in: request) {
            switch found.option {
            case .auth: self.user = found.values.lowerBound
            case .name: self.name = try request.label(found.values.lowerBound)
            }
        }
    }
}
