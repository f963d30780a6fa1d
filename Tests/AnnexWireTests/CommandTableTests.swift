import AnnexWire
import NIOCore
import Testing

@Suite struct CommandTableTests {
    private let table = CommandTable.standard

    private func found(_ words: String...) -> String? {
        if case .command(let specification, _) = self.table.lookup(request(words)) { specification.name } else { nil }
    }

    private func wrongArity(_ words: String...) -> String? {
        if case .wrongArity(let name, _) = self.table.lookup(request(words)) { name } else { nil }
    }

    private func isUnknown(_ table: CommandTable, _ words: String...) -> Bool {
        if case .unknown = table.lookup(request(words)) { true } else { false }
    }

    @Test func theTableIsComplete() {
        let names = """
            acl asking atomic auth client cluster command config dbsize deadline discard echo event event.del exec exists \
            explain forget hello indexes info latency memory mtopk multi ping quit readonly readwrite ready reload reset role \
            scan score seen select slowlog topk type vcard vdim vemb vgetattr vinfo vismember vlinks vrandmember vsim waitpos \
            watch whynot
            """.split(separator: " ").map(String.init)
        #expect(self.table.specifications.map(\.name) == names)
        #expect(Set(self.table.specifications.map(\.id)) == Set(CommandID.allCases))
    }

    @Test func rowsAreSound() {
        for command in self.table.specifications.flatMap({ [$0] + $0.subcommands }) {
            let parts = command.name.split(separator: "|")
            #expect(parts.allSatisfy { $0.utf8.count <= 16 } && parts.count <= 2)
            #expect(command.name == command.name.lowercased() && command.name.filter { $0 == "." }.count <= 1)
            #expect(command.arity != 0 && !command.summary.isEmpty && !command.replyRESP2.isEmpty)
            #expect(command.summary.hasSuffix(".") && !command.complexity.isEmpty && !command.categories.isEmpty)
            // The fewest words of the syntax are the arity, one for each fixed argument.
            if command.subcommands.isEmpty {
                let fewest = parts.count + command.arguments.map(Self.fewestWords).reduce(0, +)
                #expect(
                    abs(command.arity) == fewest,
                    "\(command.name): arity \(command.arity), syntax \(command.syntax)"
                )
            }
            #expect((command.keys == .none) == command.arguments.allSatisfy { $0.kind != .key }, "\(command.name)")
            for sub in command.subcommands {
                #expect(
                    sub.name.hasPrefix(command.name + "|") && sub.owner == command.owner || sub.name.hasSuffix("|help")
                )
                #expect(sub.id == command.id)
            }
            #expect(command.subcommands.isEmpty || command.subcommands.last?.name == command.name + "|help")
        }
    }

    private static func fewestWords(_ argument: CommandArgument) -> Int {
        if argument.isOptional { return 0 }
        let token = argument.token == nil || argument.kind == .pureToken ? 0 : 1
        switch argument.kind {
        case .pureToken, .key, .string, .integer, .double: return 1 + token
        case .block: return argument.children.map(Self.fewestWords).reduce(0, +) + token
        case .oneof: return (argument.children.map(Self.fewestWords).min() ?? 0) + token
        }
    }

    @Test func lookupTakesAnyCase() {
        #expect(self.found("topk", "u", "1") == "topk")
        #expect(self.found("ToPk", "u", "1") == "topk")
        #expect(self.found("TOPK", "u", "1", "TRUTH") == "topk")
        #expect(self.found("Client", "kIlL", "1.2.3.4:5") == "client")
        #expect(self.found("CLIENT", "nonesuch") == "client", "the owner or `answerSubcommand` says that it is unknown")
    }

    @Test(arguments: [
        "", "TOP", "TOPKK", "TOPK\0", "TOPK ", "ＴＯＰＫ", "top\u{212a}", "topk|x", String(repeating: "topk", count: 5),
        "client|id",
    ])
    func unknown(name: String) {
        #expect(self.isUnknown(self.table, name, "a", "b"))
    }

    @Test func noLongNamePassesForAShortOne() {
        // 16 bytes whose first eight are those of a short name.
        for tail in 0..<256 {
            var name = Array("ping".utf8) + [0, 0, 0, 0]
            name += (0..<8).map { UInt8(truncatingIfNeeded: tail &* ($0 + 1)) }
            if case .unknown = self.table.lookup(Request([name])) { continue }
            Issue.record("\(name) was taken for a command")
        }
    }

    @Test func arity() {
        #expect(self.wrongArity("TOPK") == "topk" && self.wrongArity("topk", "u") == "topk")
        #expect(self.wrongArity("VDIM") == "vdim" && self.wrongArity("VDIM", "a", "b") == "vdim")
        #expect(self.wrongArity("CLIENT") == "client" && self.wrongArity("CLIENT", "KILL") == "client|kill")
        #expect(self.wrongArity("client", "setname", "a", "b") == "client|setname")
        #expect(self.wrongArity("MEMORY", "USAGE") == "memory|usage")
        #expect(self.table.wrongArity("client|kill") == "wrong number of arguments for 'client|kill' command")
    }

    @Test func texts() throws {
        #expect(
            self.table.unknownCommand(request("FANCY", "a", "b"))
                == "unknown command 'FANCY', with args beginning with: 'a' 'b' "
        )
        #expect(self.table.unknownCommand(request("X")) == "unknown command 'X', with args beginning with: ")
        #expect(
            self.table.unknownCommand(request("a\r\n")) == "unknown command 'a\\x0d\\x0a', with args beginning with: "
        )
        let many = self.table.unknownCommand(
            request(["X"] + Array(repeating: String(repeating: "y", count: 1_000), count: 500))
        )
        #expect(many.utf8.count < 600)
        let client = try #require(self.table.specification(named: "client"))
        #expect(
            self.table.unknownSubcommand(of: client, request("client", "X"))
                == "unknown subcommand 'X'. Try CLIENT HELP."
        )
    }

    @Test func helpAndUnknownSubcommandsComeFromTheTable() throws {
        for container in self.table.specifications where !container.subcommands.isEmpty {
            let help = try reply {
                #expect(self.table.answerSubcommand(of: container, request(container.name, "hElP"), &$0))
            }
            #expect(help?.elements?.count == container.subcommands.count * 2)
            let unknown = try reply {
                #expect(self.table.answerSubcommand(of: container, request(container.name, "x"), &$0))
            }
            #expect(unknown == .error("ERR unknown subcommand 'x'. Try \(container.name.uppercased()) HELP."))
            var writer = ReplyWriter(version: .two, buffer: ByteBuffer())
            let first = try #require(container.subcommands.first?.name.split(separator: "|").last)
            #expect(!self.table.answerSubcommand(of: container, request(container.name, String(first)), &writer))
            #expect(writer.buffer.readableBytes == 0)
        }
    }

    // MARK: A command that is not in the table does not exist

    @Test func everyRemovedCommandIsUnknownEverywhere() throws {
        for command in self.table.specifications {
            let less = self.table.removing(command.name)
            let words = [command.name] + Array(repeating: "1", count: abs(command.arity) - 1)
            #expect(self.isUnknown(less, words[0]) && self.isUnknown(less, words[0].uppercased()))
            guard case .unknown = less.lookup(request(words)) else {
                Issue.record("\(command.name) is still there")
                continue
            }
            #expect(less.specifications.count == self.table.specifications.count - 1)
            #expect(less.specification(named: command.name) == nil)
            guard command.name != "command" else { continue }
            func ask(_ words: String...) throws -> ReplyValue? {
                try reply { less.writeCommandReply(request(words), &$0) }
            }
            #expect(try ask("COMMAND", "COUNT") == .integer(Int64(less.specifications.count)))
            #expect(try ask("COMMAND", "LIST")?.elements?.contains { $0.text == command.name } == false)
            #expect(try ask("COMMAND", "INFO", command.name) == .array([.null]))
            #expect(try ask("COMMAND", "DOCS", command.name) == .array([]))
            #expect(
                try ask("COMMAND", "GETKEYS", command.name, "1", "1", "1") == .error("ERR Invalid command specified")
            )
            #expect(!less.markdown().contains("### \(command.name.uppercased())\n"))
        }
    }

    @Test func aRemovedSubcommandIsUnknown() throws {
        let less = self.table.removing("CLIENT|KILL")
        let client = try #require(less.specification(named: "client"))
        #expect(less.specification(named: "client|kill") == nil && less.specification(named: "client|list") != nil)
        let answer = try reply { #expect(less.answerSubcommand(of: client, request("client", "kill", "x"), &$0)) }
        #expect(answer == .error("ERR unknown subcommand 'kill'. Try CLIENT HELP."))
    }
}
