import AnnexCore

/// Answers `COMMAND` and its subcommands.
extension CommandTable {
    /// Names of one COMMAND INFO or DOCS: a description is much longer than a name, so replies stay bounded by this.
    private static let maximumNames = 256

    /// Every command, as `COMMAND` tells it. O(commands).
    package func writeInfo(_ reply: inout ReplyWriter) { self.writeInfo(self.specifications, &reply) }

    package func writeNames(_ reply: inout ReplyWriter) {
        reply.array(self.specifications.count)
        for specification in self.specifications { reply.bulk(specification.name) }
    }

    /// `HELP` of a command: its subcommands.
    package static func writeHelp(of command: CommandSpecification, _ reply: inout ReplyWriter) {
        reply.array(command.subcommands.count * 2)
        for sub in command.subcommands {
            reply.bulk(sub.syntax)
            reply.bulk("    " + sub.summary)
        }
    }

    /// The commands that a `COMMAND INFO` names, or all.
    package func writeInfo(of request: Request, _ reply: inout ReplyWriter) {
        guard self.checkNames(request, &reply) else { return }
        if request.count == 2 { return self.writeInfo(self.specifications, &reply) }
        self.writeInfo((2..<request.count).map { self.specification(request, $0) }, &reply)
    }

    /// The commands that a `COMMAND DOCS` names, or all.
    package func writeDocs(of request: Request, _ reply: inout ReplyWriter) {
        guard self.checkNames(request, &reply) else { return }
        self.writeDocs(request.count == 2 ? self.specifications : self.documented(request), &reply)
    }

    /// Returns false where there are too many names: the error is written then.
    private func checkNames(_ request: Request, _ reply: inout ReplyWriter) -> Bool {
        do throws(ArgumentFailure) { try request.check("names", from: 2, atMost: Self.maximumNames) } catch {
            reply.error(error)
            return false
        }
        return true
    }

    /// Returns the commands that a `COMMAND DOCS` names: each once, as they are keys of a map; unknown ones are left
    /// out.
    private func documented(_ request: Request) -> [CommandSpecification] {
        var found: [CommandSpecification] = []
        for index in 2..<request.count {
            guard let specification = self.specification(request, index),
                !found.contains(where: { $0 === specification })
            else { continue }
            found.append(specification)
        }
        return found
    }

    // MARK: INFO

    private func writeInfo(_ all: [CommandSpecification?], _ reply: inout ReplyWriter) {
        reply.array(all.count)
        for specification in all {
            if let specification { Self.writeInfo(specification, &reply) } else { reply.nullArray() }
        }
    }

    private static func writeInfo(_ command: CommandSpecification, _ reply: inout ReplyWriter) {
        reply.array(10)
        reply.bulk(command.name)
        reply.integer(command.arity)
        reply.set(command.flags.count + (command.keys == .counted ? 1 : 0))
        for flag in command.flags { reply.simpleString(flag) }
        if command.keys == .counted { reply.status("movablekeys") }
        reply.integer(command.firstKey)
        reply.integer(command.lastKey)
        reply.integer(command.keyStep)
        reply.set(command.categories.count)
        for category in command.categories { reply.simpleString(category) }
        reply.set(command.tips.count)
        for tip in command.tips { reply.bulk(tip) }
        Self.writeKeySpecifications(command, &reply)
        reply.array(command.subcommands.count)
        for sub in command.subcommands { Self.writeInfo(sub, &reply) }
    }

    private static func writeKeySpecifications(_ command: CommandSpecification, _ reply: inout ReplyWriter) {
        guard command.keys != .none else { return reply.set(0) }
        reply.set(1)
        reply.map(3)
        reply.bulk("flags")
        reply.set(2)
        reply.status("RO")
        reply.status("ACCESS")
        reply.bulk("begin_search")
        reply.map(2)
        reply.bulk("type")
        reply.bulk("index")
        reply.bulk("spec")
        reply.map(1)
        reply.bulk("index")
        reply.integer(command.keys == .second ? 2 : 1)
        reply.bulk("find_keys")
        reply.map(2)
        reply.bulk("type")
        if command.keys == .counted {
            reply.bulk("keynum")
            Self.writeNumbers("spec", [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)], &reply)
        } else {
            reply.bulk("range")
            Self.writeNumbers(
                "spec",
                [("lastkey", command.keys == .all ? -1 : 0), ("keystep", 1), ("limit", 0)],
                &reply
            )
        }
    }

    private static func writeNumbers(_ title: String, _ numbers: [(String, Int)], _ reply: inout ReplyWriter) {
        reply.bulk(title)
        reply.map(numbers.count)
        for (name, value) in numbers {
            reply.bulk(name)
            reply.integer(value)
        }
    }

    // MARK: DOCS

    private func writeDocs(_ all: [CommandSpecification], _ reply: inout ReplyWriter) {
        reply.map(all.count)
        for specification in all {
            reply.bulk(specification.name)
            Self.writeDocs(specification, &reply)
        }
    }

    private static func writeDocs(_ command: CommandSpecification, _ reply: inout ReplyWriter) {
        let hasArguments = !command.arguments.isEmpty
        let hasSubcommands = !command.subcommands.isEmpty
        reply.map(4 + (hasArguments ? 1 : 0) + (hasSubcommands ? 1 : 0))
        for (field, text) in [
            ("summary", command.summary), ("since", CommandSpecification.since), ("group", command.group),
            ("complexity", command.complexity),
        ] {
            reply.bulk(field)
            reply.bulk(text)
        }
        if hasArguments {
            reply.bulk("arguments")
            Self.writeArguments(command.arguments, &reply)
        }
        if hasSubcommands {
            reply.bulk("subcommands")
            reply.map(command.subcommands.count)
            for sub in command.subcommands {
                reply.bulk(sub.name)
                Self.writeDocs(sub, &reply)
            }
        }
    }

    private static func writeArguments(_ arguments: [CommandArgument], _ reply: inout ReplyWriter) {
        reply.array(arguments.count)
        for argument in arguments {
            let flags = (argument.isOptional ? ["optional"] : []) + (argument.isMultiple ? ["multiple"] : [])
            let isNested = !argument.children.isEmpty
            let isKey = argument.kind == .key
            let fields =
                2 + (argument.token == nil ? 0 : 1) + (flags.isEmpty ? 0 : 1) + (isNested ? 1 : 0) + (isKey ? 1 : 0)
            reply.map(fields + (isNested ? 0 : 1))
            reply.bulk("name")
            reply.bulk(argument.name)
            reply.bulk("type")
            reply.bulk(argument.kind.rawValue)
            if !isNested {
                reply.bulk("display_text")
                reply.bulk(argument.name)
            }
            if isKey {
                reply.bulk("key_spec_index")
                reply.integer(0)
            }
            if let token = argument.token {
                reply.bulk("token")
                reply.bulk(token)
            }
            if !flags.isEmpty {
                reply.bulk("flags")
                reply.array(flags.count)
                for flag in flags { reply.simpleString(flag) }
            }
            if isNested {
                reply.bulk("arguments")
                Self.writeArguments(argument.children, &reply)
            }
        }
    }

    // MARK: GETKEYS

    /// The keys of the command whose words follow `COMMAND GETKEYS`.
    package func writeKeys(_ request: Request, withFlags: Bool, _ reply: inout ReplyWriter) {
        let base = 2
        guard let parent = self.specification(request, base) else {
            return reply.error(code: .error, "Invalid command specified")
        }
        var found = parent
        if request.count > base + 1, let sub = self.subcommand(of: parent, request, base + 1) { found = sub }
        guard found.keys != .none else { return reply.error(code: .error, "The command has no key arguments") }
        guard found.accepts(count: request.count - base) else {
            return reply.error(code: .error, "Invalid number of arguments specified for command")
        }
        guard let keys = found.keys(in: request, from: base) else {
            return reply.error(code: .error, "Invalid arguments specified for command")
        }
        reply.array(keys.count)
        for key in keys {
            if withFlags { reply.array(2) }
            request.withArgument(key) { reply.bulk($0) }
            if withFlags {
                reply.set(2)
                reply.status("RO")
                reply.status("access")
            }
        }
    }
}
