import AnnexCore

/// Holds the one table of commands: dispatch, arity, `COMMAND`, help and the reference come from it.
package struct CommandTable: Sendable {
    package enum Lookup {
        /// `position` is that of the command in `specifications`; `id` says what it is asked for: its subcommand, where it has
        /// some.
        case command(CommandSpecification, position: Int, id: CommandID)
        /// It is unknown, or has too few or too many words; then `position` is the command's.
        case refused(ArgumentFailure, position: Int?)
    }

    /// Lists all commands, by name.
    package let specifications: [CommandSpecification]
    private let positions: NamePositions

    package static let standard = CommandTable(
        (ConnectionCommand.allCases.map(\.specification) + HandlerCommand.allCases.map(\.specification))
            .reduce(into: []) { rows, row in
                if !rows.contains(where: { $0 === row }) { rows.append(row) }
            }
    )

    package init(_ specifications: [CommandSpecification]) {
        self.specifications = specifications.sorted { $0.name < $1.name }
        self.positions = NamePositions(self.specifications.map(\.name))
    }

    /// Returns the command that an argument names: `get`, or `config|get`, in any case.
    func specification(_ request: Request, _ index: Int) -> CommandSpecification? {
        request.name(index).flatMap { self.specification(named: $0) }
    }

    /// - Parameter name: in lower case.
    package func specification(named name: String) -> CommandSpecification? {
        let parts = name.split(separator: "|", maxSplits: 1)
        guard let first = parts.first, let packed = PackedName(String(first)),
            let found = self.positions[packed].map({ self.specifications[$0] })
        else { return nil }
        return parts.count == 1 ? found : found.subcommands.first { $0.name == name }
    }

    /// Finds the command of a request and checks its arity. Allocates nothing for a command that is found.
    package func lookup(_ request: Request) -> Lookup {
        guard request.count > 0, let packed = request.withArgument(0, { PackedName($0) }),
            let position = self.positions[packed]
        else { return .refused(.unknownCommand(request), position: nil) }
        let found = self.specifications[position]
        guard found.accepts(count: request.count) else {
            return .refused(.wrongArity(found.name), position: position)
        }
        guard !found.subcommands.isEmpty, request.count > 1 else {
            return .command(found, position: position, id: found.id)
        }
        guard let sub = self.subcommand(of: found, request, 1) else {
            return .command(found, position: position, id: .container)
        }
        guard sub.accepts(count: request.count) else { return .refused(.wrongArity(sub.name), position: position) }
        return .command(found, position: position, id: sub.id)
    }

    func subcommand(of parent: CommandSpecification, _ request: Request, _ index: Int) -> CommandSpecification? {
        request.withArgument(index) { bytes in
            parent.subcommands.first { sub in
                let child = sub.name.utf8.dropFirst(parent.name.utf8.count + 1)
                return child.count == bytes.count
                    && zip(child, bytes).allSatisfy { $0 == $1.lowercasedASCII }
            }
        }
    }
}

extension ArgumentFailure {
    /// Refuses a command that is not in the table, with its name and first arguments, cut and escaped.
    static func unknownCommand(_ request: Request) -> Self {
        var text = "unknown command '\(request.count > 0 ? request.printable(0) : "")', with args beginning with: "
        var index = 1
        while index < request.count, text.utf8.count < 256 {
            text += "'\(request.printable(index))' "
            index += 1
        }
        return Self(text)
    }

    /// - Parameter name: in lower case; `parent|child` of a subcommand.
    package static func wrongArity(_ name: String) -> Self { Self("wrong number of arguments for '\(name)' command") }

    /// Word 1 is no subcommand of the command.
    package static func unknownSubcommand(of name: String, _ request: Request) -> Self {
        Self("unknown subcommand '\(request.printable(1))'. Try \(name.uppercased()) HELP.")
    }
}
