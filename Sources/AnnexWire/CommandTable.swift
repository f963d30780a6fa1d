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
        CommandTable.connectionCommands + CommandTable.serverCommands + CommandTable.userCommands
            + CommandTable.indexCommands)

    package init(_ specifications: [CommandSpecification]) {
        self.specifications = specifications.sorted { $0.name < $1.name }
        var names: [PackedName: CommandSpecification] = [:]
        for specification in specifications {
            if let packed = PackedName(specification.name) { names[packed] = specification }
        }
        self.byName = names
    }

    /// The table without one command, which is then unknown everywhere.
    package func removing(_ name: String) -> CommandTable {
        CommandTable(self.specifications.filter { $0.name != name.lowercased() })
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

    init?(_ bytes: some Collection<UInt8>) {
        guard !bytes.isEmpty, bytes.count <= 16 else { return nil }
        var position = 0
        for byte in bytes {
            let lower = UInt64(byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte)
            if position < 8 { self.low |= lower << (position * 8) } else { self.high |= lower << ((position - 8) * 8) }
            position += 1
        }
        // "a" and "a\0" must differ.
        self.high ^= UInt64(position) &* 0x9e37_79b9_7f4a_7c15
    }

    init?(_ name: String) { self.init(name.utf8) }
}
