import AnnexWire
import Testing

/// Words in, the bytes of the reply out, over a real server: each command with its options, its limits and its errors. What a row
/// expects is written by hand from docs/protocol.md, or worked out from the rows that `Scene` gives.
@Suite struct CommandTablesTests {
    @Test(arguments: CommandTableOfRows.all, [RESPVersion.two, .three])
    func eachRow(_ table: CommandTableOfRows, _ version: RESPVersion) async throws {
        guard table.scene.greets || version == .two else { return }
        try await CommandServer.with(table.scene) { server in
            let client = try RawClient(port: server.port)
            var version = version
            if version == .three {
                try client.send([Array("HELLO".utf8), Array("3".utf8)])
                _ = try client.reply()
            }
            for row in table.rows {
                try client.send(row.words)
                version = row.version(after: version)
                let expected = ReplyPattern(version == .two ? row.reply : row.three, version)
                guard !expected.isEmpty else { continue }
                let lines = try client.reply()
                let shown = lines.prefix(60).joined(separator: " ")
                #expect(expected.matches(lines), "\(row.command), RESP\(version.rawValue): \(shown.prefix(600))")
            }
            if table.rows.last?.command == "QUIT" { #expect(try client.isAtEnd()) }
        }
    }

    /// Too few words, and one too many where the number is fixed, for each command and subcommand.
    @Test func arity() async throws {
        try await CommandServer.with(Scene()) { server in
            let client = try RawClient(port: server.port)
            var refused = 0
            for command in Self.commandsAndSubcommands where command.name != "quit" {
                let name = command.name.split(separator: "|").map(String.init)
                let counts = command.arity > 0 ? [command.arity - 1, command.arity + 1] : [-command.arity - 1]
                // With one word fewer a subcommand is its parent, which has rows of its own.
                for count in counts where count >= name.count {
                    let words = name + Array(repeating: "x", count: count - name.count)
                    try client.send(words.map { Array($0.utf8) })
                    let wanted = "-ERR wrong number of arguments for '\(command.name)' command"
                    #expect(try client.reply() == [wanted], "\(words)")
                    refused += 1
                }
            }
            print("\(refused) commands with a word too few or too many refused")
            #expect(refused > 70)
        }
    }

    private static var commandsAndSubcommands: [CommandSpecification] {
        CommandTable.standard.specifications.flatMap { [$0] + $0.subcommands }
    }

    /// A row that is carried out for each command, subcommand, and word of an option.
    @Test func nothingIsLeftOut() {
        let rows = CommandTableOfRows.all.flatMap(\.rows)
        let done = rows.filter { !$0.isError }
        // WAITPOS needs a log: Tests/Clients/test_70_log.py. The other two are always refused.
        let elsewhere: Set = ["waitpos", "watch"]
        let refusedToken = "client|tracking ON"
        for name in ConnectionCommand.allCases.map(\.rawValue) + HandlerCommand.allCases.map(\.rawValue) {
            #expect(rows.contains { $0.isOf(name) }, "no row for \(name)")
        }
        for command in Self.commandsAndSubcommands where !elsewhere.contains(command.name) {
            guard command.subcommands.isEmpty || command.name == "command" else { continue }
            #expect(done.contains { $0.isOf(command.name) }, "no row for \(command.name) that is carried out")
            for token in command.arguments.flatMap(Self.tokens) where "\(command.name) \(token)" != refusedToken {
                let isThere = done.contains { row in
                    row.isOf(command.name) && row.command.uppercased().split(separator: " ").contains(Substring(token))
                }
                #expect(isThere, "no row for \(command.name) with \(token) that is carried out")
            }
        }
    }

    private static func tokens(_ argument: CommandArgument) -> [String] {
        (argument.token.map { [$0] } ?? []) + argument.children.flatMap(Self.tokens)
    }
}
