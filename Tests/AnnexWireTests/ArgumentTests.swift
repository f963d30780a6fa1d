import AnnexWire
import Testing

/// What follows from the arguments of a command: its arity and the reading of its options.
@Suite struct ArgumentTests {
    private let table = CommandTable.standard

    /// Number of words with the name, or minus the fewest: as clients were told before it was derived.
    private static let arities: [(arity: Int, names: String)] = [
        (
            1,
            """
            asking dbsize discard exec indexes multi readonly readwrite ready reset role
            """
        ),
        (
            -1,
            """
            command hello info ping quit
            """
        ),
        (
            2,
            """
            acl|help acl|whoami client|getname client|help client|id client|info cluster|help cluster|info \
            cluster|myid cluster|nodes cluster|shards cluster|slots command|count command|help command|list \
            config|help config|resetstat deadline echo latency|help latency|latest memory|help select \
            slowlog|help slowlog|len slowlog|reset type vcard vdim vinfo
            """
        ),
        (
            -2,
            """
            acl auth client client|list cluster command|docs command|info config exists forget latency \
            latency|histogram latency|reset memory reload scan seen slowlog slowlog|get vrandmember watch
            """
        ),
        (
            3,
            """
            client|no-evict client|no-touch client|reply client|setname cluster|keyslot vgetattr vismember
            """
        ),
        (
            -3,
            """
            client|capa client|kill client|tracking command|getkeys command|getkeysandflags config|get event \
            event.del explain memory|usage topk vemb vlinks waitpos
            """
        ),
        (
            4,
            """
            client|setinfo
            """
        ),
        (
            -4,
            """
            atomic config|set mtopk score vsim whynot
            """
        ),
    ]

    @Test func aritiesFollowFromTheArguments() {
        var expected: [String: Int] = [:]
        for (arity, names) in Self.arities {
            for name in names.split(separator: " ") { expected[String(name)] = arity }
        }
        var derived: [String: Int] = [:]
        for command in self.table.specifications.flatMap({ [$0] + $0.subcommands }) {
            derived[command.name] = command.arity
        }
        #expect(derived == expected)
    }

    @Test func whatARouterDoesFitsTheKeys() {
        for command in self.table.specifications {
            switch command.routing {
            case .user, .change, .changes, .atRouter(.waitForPosition):
                #expect(command.keys == .first, "\(command.name)")
            case .users: #expect(command.keys == .counted, "\(command.name)")
            case .anywhere, .atRouter(.readiness), .atRouter(.refuseReload):
                #expect(command.commandClass != .event, "\(command.name)")
            }
            #expect(command.isAboutUser == (command.group == "user"), "\(command.name)")
            #expect((command.commandClass == .event) == command.flags.contains("write"), "\(command.name)")
        }
    }

    // MARK: Reading options

    private enum Option: String, CaseIterable, Sendable {
        case flag = "FLAG"
        case one = "ONE"
        case pair = "PAIR"
        case list = "LIST"
        case left = "LEFT"
        case right = "RIGHT"
    }

    private static let arguments: [CommandArgument] = [
        .key("key"), .flag("FLAG"), CommandArgument.string("x", token: "ONE").optional,
        CommandArgument.block("pair", token: "PAIR", [.string("a"), .string("b")]).optional,
        CommandArgument.block(
            "list",
            token: "LIST",
            [.integer("n"), .string("thing").multiple, CommandArgument.double("w", token: "WITH").multiple.optional]
        ).optional,
        CommandArgument.oneof("side", [.word("LEFT"), .integer("n", token: "RIGHT")]).optional,
    ]

    /// What a reader makes of the words behind `X`: options with the values of each, or the error.
    private func read(_ line: String, _ repetition: OptionGrammar<Option>.Repetition = .refused) -> String {
        let words = request(["X"] + line.split(separator: " ").map(String.init))
        var reader = OptionReader(OptionGrammar<Option>(Self.arguments, repetition), from: 1)
        var text: [String] = []
        do throws(ArgumentFailure) {
            while let found = try reader.next(in: words) {
                var values = found.values.map { words.string($0) }
                if let more = found.more { values += ["/"] + more.map { words.string($0) } }
                text.append(([found.option.rawValue.lowercased()] + values).joined(separator: " "))
            }
        } catch { text.append("\(error.code) \(error.message)") }
        return text.joined(separator: ", ")
    }

    @Test(arguments: [
        ("", ""), ("flag", "flag"), ("ONE 1 FLAG", "one 1, flag"), ("ONE ONE", "one ONE"),
        ("PAIR FLAG ONE LEFT", "pair FLAG ONE, left"),
        ("LIST 0", "list"), ("LIST 2 a WITH FLAG", "list a WITH, flag"),
        ("LIST 2 a b with 1 2 right 5", "list a b / 1 2, right 5"),
        ("LIST 0 WITH", "list /"),
    ]) func options(_ line: String, _ expected: String) { #expect(self.read(line) == expected) }

    @Test(arguments: [
        ("key", "ERR syntax error near 'key'"), ("FLAG FLAG", "flag, ERR syntax error near 'FLAG'"),
        ("ONE", "ERR syntax error near 'ONE'"), ("PAIR a", "ERR syntax error near 'PAIR'"),
        ("LEFT RIGHT 1", "left, ERR syntax error near 'RIGHT'"),
        ("RIGHT 1 LEFT", "right 1, ERR syntax error near 'LEFT'"),
        ("LIST", "ERR syntax error near 'LIST'"), ("WITH 1", "ERR syntax error near 'WITH'"),
        ("LIST 1 a WITH", "ERR WITH needs 1 numbers, as many as LIST has things"),
        (
            "LIST 3 a b",
            "ERR invalid number of things '3': give an integer from 0, then as many things; 2 could follow"
        ),
        ("flags", "ERR syntax error near 'flags'"),
        ("FLAGFLAGFLAGFLAGFLAG", "ERR syntax error near 'FLAGFLAGFLAGFLAGFLAG'"),
    ]) func whatIsNoOption(_ line: String, _ expected: String) { #expect(self.read(line) == expected) }

    @Test func theLastOneMayCount() {
        #expect(
            self.read("ONE 1 FLAG ONE 2 FLAG LEFT RIGHT 3", .lastCounts) == "one 1, flag, one 2, flag, left, right 3"
        )
    }
}
