import AnnexWire
import NIOCore
import Testing

/// `COMMAND` and what clients read of it.
@Suite struct IntrospectionTests {
    private let table = CommandTable.standard

    private func ask(_ version: RESPVersion = .two, _ words: String...) throws -> ReplyValue {
        try #require(try reply(version) { self.table.answer(request(words), &$0) })
    }

    private func texts(_ value: ReplyValue?) -> [String] { value?.elements?.compactMap(\.text) ?? [] }

    /// The value behind a key of a map, or of RESP2's flat array.
    private func field(_ value: ReplyValue?, _ key: String) -> ReplyValue? {
        guard let all = value?.elements else { return nil }
        return stride(from: 0, to: all.count - 1, by: 2).first { all[$0].text == key }.map { all[$0 + 1] }
    }

    @Test(arguments: [RESPVersion.two, .three])
    func everyEntryHasTenElements(version: RESPVersion) throws {
        let entries = try #require(try self.ask(version, "COMMAND").elements)
        #expect(entries.count == self.table.specifications.count)
        for (entry, command) in zip(entries, self.table.specifications) {
            let parts = try #require(entry.elements)
            #expect(parts.count == 10 && parts[0] == .bulk(Array(command.name.utf8)))
            #expect(parts[1] == .integer(Int64(command.arity)))
            #expect(parts[9].elements?.count == command.subcommands.count)
            #expect(parts[9].elements?.allSatisfy { $0.elements?.count == 10 } == true)
            if version == .two { #expect(entry.isRESP2) }
        }
        #expect(try self.ask(version, "COMMAND", "INFO").elements?.count == entries.count)
        #expect(try self.ask(version, "COMMAND", "COUNT") == .integer(Int64(entries.count)))
        #expect(self.texts(try self.ask(version, "COMMAND", "LIST")) == self.table.specifications.map(\.name))
    }

    @Test func positionsOfKeys() throws {
        func positions(_ name: String) throws -> [ReplyValue] {
            let entry = try #require(try self.ask(.two, "COMMAND", "INFO", name).elements?.first?.elements)
            return Array(entry[3...5])
        }
        #expect(try positions("topk") == [.integer(1), .integer(1), .integer(1)])
        #expect(try positions("VSIM") == [.integer(1), .integer(1), .integer(1)])
        #expect(try positions("mtopk") == [.integer(0), .integer(0), .integer(0)])
        #expect(try positions("exists") == [.integer(1), .integer(-1), .integer(1)])
        #expect(try positions("memory|usage") == [.integer(2), .integer(2), .integer(1)])
        #expect(try positions("ping") == [.integer(0), .integer(0), .integer(0)])
    }

    @Test(arguments: [RESPVersion.two, .three])
    func keySpecifications(version: RESPVersion) throws {
        func specification(_ name: String) throws -> (start: Int64?, kind: String?, spec: ReplyValue?) {
            let entry = try #require(try self.ask(version, "COMMAND", "INFO", name).elements?.first?.elements)
            let first = try #require(entry[8].elements?.first)
            #expect(self.texts(self.field(first, "flags")) == ["RO", "ACCESS"])
            let begin = self.field(first, "begin_search")
            let find = self.field(first, "find_keys")
            #expect(self.field(begin, "type")?.text == "index")
            guard case .integer(let start)? = self.field(self.field(begin, "spec"), "index") else {
                return (nil, nil, nil)
            }
            return (start, self.field(find, "type")?.text, self.field(find, "spec"))
        }
        let topk = try specification("topk")
        #expect(topk.start == 1 && topk.kind == "range" && self.field(topk.spec, "lastkey") == .integer(0))
        let mtopk = try specification("mtopk")
        #expect(mtopk.start == 1 && mtopk.kind == "keynum" && self.field(mtopk.spec, "firstkey") == .integer(1))
        #expect(self.field(mtopk.spec, "keynumidx") == .integer(0) && self.field(mtopk.spec, "keystep") == .integer(1))
        #expect(try specification("exists").spec.flatMap { self.field($0, "lastkey") } == .integer(-1))
        #expect(try specification("memory|usage").start == 2)
        let flags = try self.ask(version, "COMMAND", "INFO", "mtopk").elements?.first?.elements?[2]
        #expect(self.texts(flags) == ["readonly", "movablekeys"])
    }

    @Test func unknownNames() throws {
        #expect(try self.ask(.two, "COMMAND", "INFO", "nonesuch") == .array([.null]))
        #expect(try self.ask(.three, "COMMAND", "DOCS", "nonesuch") == .map([]))
        #expect(try self.ask(.two, "COMMAND", "x\n") == .error("ERR unknown subcommand 'x\\x0a'. Try COMMAND HELP."))
        #expect(try self.ask(.two, "COMMAND", "HELP").elements?.isEmpty == false)
    }

    @Test func docs() throws {
        let all = try self.ask(.three, "COMMAND", "DOCS")
        #expect(all.elements?.count == self.table.specifications.count * 2)
        let topk = self.field(try self.ask(.three, "COMMAND", "DOCS", "TopK", "topk", "TOPK"), "topk")
        #expect(self.field(topk, "summary")?.text?.isEmpty == false && self.field(topk, "group")?.text == "user")
        let arguments = try #require(self.field(topk, "arguments")?.elements)
        #expect(arguments.map { self.field($0, "name")?.text }.prefix(3) == ["user", "k", "name"])
        #expect(
            self.field(arguments[0], "type")?.text == "key" && self.field(arguments[0], "key_spec_index") == .integer(0)
        )
        #expect(self.field(arguments[2], "token")?.text == "INDEX")
        #expect(self.texts(self.field(arguments[2], "flags")) == ["optional"])
        let effort = try #require(arguments.first { self.field($0, "name")?.text == "effort" })
        #expect(self.field(effort, "type")?.text == "oneof" && self.field(effort, "arguments")?.elements?.count == 4)
        let client = self.field(try self.ask(.three, "COMMAND", "DOCS", "client"), "client")
        #expect(self.field(self.field(client, "subcommands"), "client|kill") != nil)
    }

    /// A description is longer than a name: what one request can ask for is bounded.
    @Test func repliesAreBounded() throws {
        let names = Array(repeating: "client", count: 257)
        for what in ["INFO", "DOCS"] {
            let refused = try reply { self.table.answer(request(["COMMAND", what] + names), &$0) }
            #expect(refused == .error("ERR too many names; give at most 256"))
            var writer = ReplyWriter(version: .two, buffer: ByteBuffer())
            self.table.answer(request(["COMMAND", what] + names.dropLast()), &writer)
            #expect(writer.buffer.readableBytes < 1 << 20)
        }
    }

    @Test(arguments: [
        (["topk", "ann", "10"], ["ann"]), (["TOPK", "ann", "10", "INDEX", "x"], ["ann"]),
        (["MTOPK", "3", "a", "b", "c", "10", "TRUTH"], ["a", "b", "c"]), (["SCORE", "ann", "2", "i", "j"], ["ann"]),
        (["VSIM", "movies", "ELE", "x"], ["movies"]), (["EXISTS", "a", "b", "a"], ["a", "b", "a"]),
        (["MEMORY", "usage", "movies"], ["movies"]), (["RELOAD", "movies"], ["movies"]),
        (["TYPE", "movies"], ["movies"]),
    ])
    func keys(words: [String], keys: [String]) throws {
        let plain = try reply { self.table.answer(request(["COMMAND", "GETKEYS"] + words), &$0) }
        #expect(self.texts(plain) == keys)
        let flagged = try reply(.three) {
            self.table.answer(request(["COMMAND", "GETKEYSANDFLAGS"] + words), &$0)
        }
        #expect(flagged?.elements?.compactMap { $0.elements?.first?.text } == keys)
        #expect(flagged?.elements?.allSatisfy { $0.elements?.count == 2 } == true)
    }

    @Test(arguments: [
        (["PING"], "The command has no key arguments"), (["CONFIG", "GET", "x"], "The command has no key arguments"),
        (["FANCY", "x"], "Invalid command specified"),
        (["TOPK", "ann"], "Invalid number of arguments specified for command"),
        (["MTOPK", "9", "a", "1"], "Invalid arguments specified for command"),
        (["MTOPK", "0", "a", "1"], "Invalid arguments specified for command"),
        (["MTOPK", "-1", "a", "1"], "Invalid arguments specified for command"),
        (["MTOPK", "9223372036854775807", "a", "1"], "Invalid arguments specified for command"),
        (["MTOPK", "x", "a", "1"], "Invalid arguments specified for command"),
    ])
    func noKeys(words: [String], text: String) throws {
        #expect(
            try reply { self.table.answer(request(["COMMAND", "GETKEYS"] + words), &$0) }
                == .error("ERR " + text)
        )
    }

    @Test func theReferenceNamesEverything() {
        let text = self.table.markdown()
        for command in self.table.specifications {
            #expect(text.contains("### \(command.name.uppercased())\n"), "\(command.name)")
            for sub in command.subcommands {
                #expect(text.contains(sub.name.uppercased().replacing("|", with: " ")), "\(sub.name)")
            }
        }
        #expect(text.contains("TOPK user k [INDEX name]") && text.contains("NOINDEX") && text.contains("65,536"))
        #expect(text.hasSuffix("\n") && !text.hasSuffix("\n\n"))
    }
}
