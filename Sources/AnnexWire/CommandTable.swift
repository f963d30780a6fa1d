/// The one table of commands: dispatch, arity, `COMMAND`, help and the reference come from it.
package struct CommandTable: Sendable {
    package enum Lookup {
        case command(CommandSpecification)
        case unknown
        /// Lower-case name; `parent|child` for a subcommand.
        case wrongArity(String)
    }

    package let specifications: [CommandSpecification]
    private let byName: [PackedName: CommandSpecification]

    package static let standard = CommandTable(
        CommandTable.connectionCommands + CommandTable.serverCommands + CommandTable.keyspaceCommands
            + CommandTable.userCommands + CommandTable.indexCommands
    )

    package init(_ specifications: [CommandSpecification]) {
        self.specifications = specifications.sorted { $0.name < $1.name }
        var names: [PackedName: CommandSpecification] = [:]
        for specification in specifications {
            if let packed = PackedName(specification.name) { names[packed] = specification }
        }
        self.byName = names
    }

    /// The table without one command, or one subcommand (`client|kill`), which is then unknown everywhere.
    package func removing(_ name: String) -> CommandTable {
        let gone = name.lowercased()
        return CommandTable(
            self.specifications.filter { $0.name != gone }.map { specification in
                guard specification.subcommands.contains(where: { $0.name == gone }) else { return specification }
                return specification.replacing(subcommands: specification.subcommands.filter { $0.name != gone })
            }
        )
    }

    package func specification(named name: String) -> CommandSpecification? {
        let parts = name.lowercased().split(separator: "|", maxSplits: 1)
        guard let first = parts.first, let packed = PackedName(String(first)), let found = self.byName[packed] else {
            return nil
        }
        return parts.count == 1 ? found : found.subcommands.first { $0.name == name.lowercased() }
    }

    /// Finds the command of a request and checks its arity. Allocates nothing.
    package func lookup(_ request: Request) -> Lookup {
        guard request.count > 0, let packed = request.withArgument(0, { PackedName($0) }),
            let found = self.byName[packed]
        else { return .unknown }
        guard found.accepts(count: request.count) else { return .wrongArity(found.name) }
        if !found.subcommands.isEmpty, request.count > 1, let sub = self.subcommand(of: found, request, 1),
            !sub.accepts(count: request.count)
        {
            return .wrongArity(sub.name)
        }
        return .command(found)
    }

    /// Answers what the table alone can answer of a command with subcommands: `HELP`, and a subcommand that it does not
    /// have. True where the reply is written; false where the owner has to answer.
    package func answerSubcommand(
        of command: CommandSpecification,
        _ request: Request,
        _ reply: inout ReplyWriter
    ) -> Bool {
        guard !command.subcommands.isEmpty, request.count > 1 else { return false }
        guard let sub = self.subcommand(of: command, request, 1) else {
            reply.error(code: "ERR", self.unknownSubcommand(of: command, request))
            return true
        }
        guard sub.name.hasSuffix("|help") else { return false }
        reply.array(command.subcommands.count * 2)
        for sub in command.subcommands {
            reply.bulk(sub.syntax)
            reply.bulk("    " + sub.summary)
        }
        return true
    }

    /// The text behind `ERR` for a command that is not in the table: the name and the first arguments, cut and escaped.
    package func unknownCommand(_ request: Request) -> String {
        var text = "unknown command '\(request.count > 0 ? request.printable(0) : "")', with args beginning with: "
        var index = 1
        while index < request.count, text.utf8.count < 256 {
            text += "'\(request.printable(index))' "
            index += 1
        }
        return text
    }

    package func wrongArity(_ name: String) -> String { "wrong number of arguments for '\(name)' command" }

    package func unknownSubcommand(of command: CommandSpecification, _ request: Request) -> String {
        "unknown subcommand '\(request.printable(1))'. Try \(command.name.uppercased()) HELP."
    }

    func subcommand(of parent: CommandSpecification, _ request: Request, _ index: Int) -> CommandSpecification? {
        request.withArgument(index) { bytes in
            parent.subcommands.first { sub in
                let child = sub.name.utf8.dropFirst(parent.name.utf8.count + 1)
                return child.count == bytes.count
                    && zip(child, bytes).allSatisfy { $0 == ($1 >= 0x41 && $1 <= 0x5a ? $1 | 0x20 : $1) }
            }
        }
    }
}

/// A command name of at most 16 bytes, in lower case, as two words: equal and hashed without a string.
private struct PackedName: Hashable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0
    /// "a" and "a\0" must differ.
    private var length: UInt8 = 0

    init?(_ bytes: some Collection<UInt8>) {
        guard !bytes.isEmpty, bytes.count <= 16 else { return nil }
        var position = 0
        for byte in bytes {
            let lower = UInt64(byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte)
            if position < 8 { self.low |= lower << (position * 8) } else { self.high |= lower << ((position - 8) * 8) }
            position += 1
        }
        self.length = UInt8(position)
    }

    init?(_ name: String) { self.init(name.utf8) }
}
