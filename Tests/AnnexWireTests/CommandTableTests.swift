import AnnexWire
import NIOCore
import Testing

@Suite struct CommandTableTests {
    private let table = CommandTable.standard

    private func found(_ words: String...) -> String? {
        if case .command(let specification, _, _) = self.table.lookup(request(words)) {
            specification.name
        } else {
            nil
        }
    }

    /// What a command asks for, with as many words behind it as its arity wants.
    private func asked(_ words: [String]) -> CommandID? {
        guard let row = self.table.specification(named: words.joined(separator: "|").lowercased()) else { return nil }
        let further = Array(repeating: "1", count: abs(row.arity) - words.count)
        if case .command(_, _, let id) = self.table.lookup(request(words + further)) { return id }
        return nil
    }

    /// What a request is refused with.
    private func refusal(_ words: [String]) -> String? {
        if case .refused(let failure, _) = self.table.lookup(request(words)) { failure.message } else { nil }
    }

    /// The command whose arity does not fit.
    private func wrongArity(_ words: String...) -> String? {
        guard let text = self.refusal(words), text.hasPrefix("wrong number of arguments for '") else { return nil }
        return text.split(separator: "'").dropFirst().first.map(String.init)
    }

    private func isUnknown(_ table: CommandTable, _ words: String...) -> Bool {
        if case .refused(_, position: nil) = table.lookup(request(words)) { true } else { false }
    }

    @Test func theTableIsComplete() {
        let all = ConnectionCommand.allCases.map(CommandID.connection) + HandlerCommand.allCases.map(CommandID.handler)
        let rows = self.table.specifications.flatMap { [$0] + $0.subcommands }.map(\.id)
        let answered = rows.filter { $0 != .help && $0 != .container }
        #expect(Set(answered) == Set(all) && answered.count == all.count)
    }

    @Test func rowsAreSound() {
        for command in self.table.specifications.flatMap({ [$0] + $0.subcommands }) {
            let parts = command.name.split(separator: "|")
            #expect(parts.allSatisfy { $0.utf8.count <= 16 } && parts.count <= 2)
            #expect(command.name == command.name.lowercased() && command.name.filter { $0 == "." }.count <= 1)
            #expect(command.arity != 0 && !command.summary.isEmpty && !command.replyRESP2.isEmpty)
            #expect(command.summary.hasSuffix(".") && !command.complexity.isEmpty && !command.categories.isEmpty)
            #expect((command.keys == .none) == command.arguments.allSatisfy { $0.kind != .key }, "\(command.name)")
            for sub in command.subcommands {
                #expect(
                    sub.name.hasPrefix(command.name + "|") && sub.owner == command.owner || sub.name.hasSuffix("|help")
                )
                #expect(sub.id == .help || self.asked(sub.name.split(separator: "|").map(String.init)) == sub.id)
            }
            #expect(command.subcommands.isEmpty || command.subcommands.last?.name == command.name + "|help")
        }
    }

    @Test func lookupTakesAnyCase() {
        #expect(self.found("topk", "u", "1") == "topk")
        #expect(self.found("ToPk", "u", "1") == "topk")
        #expect(self.found("TOPK", "u", "1", "TRUTH") == "topk")
        #expect(self.found("Client", "kIlL", "1.2.3.4:5") == "client")
        #expect(self.found("CLIENT", "nonesuch") == "client", "whoever answers says that it is unknown")
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
            if case .refused(_, position: nil) = self.table.lookup(Request([name])) { continue }
            Issue.record("\(name) was taken for a command")
        }
    }

    @Test func arity() {
        #expect(self.wrongArity("TOPK") == "topk" && self.wrongArity("topk", "u") == "topk")
        #expect(self.wrongArity("VDIM") == "vdim" && self.wrongArity("VDIM", "a", "b") == "vdim")
        #expect(self.wrongArity("CLIENT") == "client" && self.wrongArity("CLIENT", "KILL") == "client|kill")
        #expect(self.wrongArity("client", "setname", "a", "b") == "client|setname")
        #expect(self.wrongArity("MEMORY", "USAGE") == "memory|usage")
        #expect(self.refusal(["client", "kill"]) == "wrong number of arguments for 'client|kill' command")
    }

    @Test func texts() {
        #expect(
            self.refusal(["FANCY", "a", "b"]) == "unknown command 'FANCY', with args beginning with: 'a' 'b' "
        )
        #expect(self.refusal(["X"]) == "unknown command 'X', with args beginning with: ")
        #expect(self.refusal(["a\r\n"]) == "unknown command 'a\\x0d\\x0a', with args beginning with: ")
        let many = self.refusal(["X"] + Array(repeating: String(repeating: "y", count: 1_000), count: 500))
        #expect(many.map { $0.utf8.count < 600 } == true)
        #expect(
            ArgumentFailure.unknownSubcommand(of: "client", request("client", "X")).message
                == "unknown subcommand 'X'. Try CLIENT HELP."
        )
    }

    @Test func theSubcommandIsFoundOnce() throws {
        func id(_ words: String...) -> CommandID? {
            if case .command(_, _, let id) = self.table.lookup(request(words)) { id } else { nil }
        }
        for container in self.table.specifications where !container.subcommands.isEmpty {
            #expect(id(container.name, "hElP") == .help && id(container.name, "x") == .container)
            let help = try reply { CommandTable.writeHelp(of: container, &$0) }
            #expect(help?.elements?.count == container.subcommands.count * 2)
        }
        #expect(id("client", "KILL", "x") == .connection(.clientKill) && id("COMMAND") == .connection(.command))
        #expect(id("memory", "Usage", "x") == .handler(.memoryUsage) && id("topk", "u", "1") == .handler(.topk))
    }

    /// Words behind the last argument, where no option has an error of its own for them.
    @Test func theMostWordsFollowFromTheArguments() {
        let ends = self.table.specifications.filter { $0.maximumCount != nil && $0.arity < 0 }
        #expect(ends.map { "\($0.name) \($0.maximumCount ?? 0)" } == ["ping 2", "reload 3", "vrandmember 3"])
    }

    // MARK: A command that is not in the table does not exist

    @Test func everyRemovedCommandIsUnknownEverywhere() throws {
        for command in self.table.specifications {
            let less = CommandTable(self.table.specifications.filter { $0 !== command })
            let words = [command.name] + Array(repeating: "1", count: abs(command.arity) - 1)
            #expect(self.isUnknown(less, words[0]) && self.isUnknown(less, words[0].uppercased()))
            guard case .refused(_, position: nil) = less.lookup(request(words)) else {
                Issue.record("\(command.name) is still there")
                continue
            }
            #expect(less.specifications.count == self.table.specifications.count - 1)
            #expect(less.specification(named: command.name) == nil)
            guard command.name != "command" else { continue }
            func ask(_ words: String...) throws -> ReplyValue? {
                try reply { less.answer(request(words), &$0) }
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
}
