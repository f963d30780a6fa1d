import AnnexCore

/// Writes the protocol's reference from the table; `docs/protocol.md` is this text.
extension CommandTable {
    private static let groups = [
        ("user", "Users"), ("vector_set", "Indexes and items"), ("keyspace", "Key space"), ("server", "Server"),
        ("connection", "Connection"),
        ("cluster", "Cluster clients"),
    ]

    package func markdown() -> String {
        var out = Self.preface
        for (group, title) in Self.groups {
            let members = self.specifications.filter { $0.group == group }
            guard !members.isEmpty else { continue }
            out += "## \(title)\n\n"
            for command in members { out += Self.markdown(command) }
        }
        while out.hasSuffix("\n\n") { out.removeLast() }
        return out
    }

    private static var preface: String {
        let limits = WireLimits()
        return """
            # Protocol

            Written by `annctl protocol-docs` from the command table; do not edit.

            The server speaks RESP2 (the default), RESP3 (after `HELLO 3`) and plain lines for people: words divided by blanks,
            `"…"` with `\\n \\r \\t \\b \\a \\\\ \\" \\xNN`, `'…'` with `\\'`. Command names and option words are matched in any case.
            A command that is not listed here is unknown.

            ## Errors

            An error begins with a code; a sentence says what to do. Bytes of the client in it are escaped as `\\xNN`.

            | code | meaning | may the change be stored? | may another replica answer? |
            |---|---|---|---|
            \(Self.errorRows)

            After `ERR Protocol error: …` the connection closes. Option words that do not exist answer
            `ERR syntax error near 'WORD'`: nothing is ignored. In `TOPK` and `MTOPK` an option may be given once, and one of
            `EF`, `NPROBE`, `KAPPA` and `TRUTH`; in the vector-set commands the last one counts and `TRUTH` beats `EF`, as in Redis.

            ## Limits

            | what | limit |
            |---|---|
            | k of `TOPK`, `COUNT` of `VSIM` | 1 to \(Self.grouped(Limits.maximumK)) |
            | users × k of `MTOPK` | \(Self.grouped(Limits.maximumBatchResults)) |
            | components of a vector | 1 to \(Self.grouped(Limits.maximumDimension)) |
            | `EF` · `NPROBE` | 1 to \(Self.grouped(Limits.maximumEfSearch)) · 1 to \(Self.grouped(Limits.maximumNprobe)) |
            | `KAPPA` | above 0, at most 1 |
            | count of `VRANDMEMBER` | -\(Self.grouped(Limits.maximumRandomCount)) to \(Self.grouped(Limits.maximumRandomCount)) |
            | bytes of an argument · of a command · of a line (settable) | \(Self.grouped(limits.argumentBytes)) · \(Self.grouped(limits.commandBytes)) · \(Self.grouped(limits.lineBytes)) |
            | arguments of a command (settable) | \(Self.grouped(limits.arguments)) |
            | before `AUTH`: arguments · bytes of one · bytes of a command | \(Self.grouped(limits.unauthenticatedArguments)) · \(Self.grouped(limits.unauthenticatedArgumentBytes)) · \(Self.grouped(limits.unauthenticatedBufferBytes)) |


            """
    }

    private static var errorRows: String {
        ErrorCode.allCases.map { code in
            let (stored, elsewhere) = (code.mayBeStored, code.mayBeAnsweredElsewhere)
            return "| `\(code.rawValue)` | \(code.meaning) | \(stored ? "yes" : "no") | \(elsewhere ? "yes" : "no") |"
        }.joined(separator: "\n")
    }

    /// Writes 65536 as 65,536, whatever the locale.
    private static func grouped(_ value: Int) -> String {
        var out = ""
        for (index, digit) in String(value).reversed().enumerated() {
            if index > 0, index % 3 == 0 { out.append(",") }
            out.append(digit)
        }
        return String(out.reversed())
    }

    private static func markdown(_ command: CommandSpecification) -> String {
        let subcommand =
            command.subcommands.isEmpty ? "" : command.accepts(count: 1) ? " [subcommand …]" : " subcommand …"
        var out = "### \(command.name.uppercased())\n\n    \(command.syntax)\(subcommand)\n\n\(command.summary)\n\n"
        if command.subcommands.isEmpty {
            out += "- Class: \(command.commandClass.rawValue)\n- Complexity: \(command.complexity)\n"
            out += "- Reply, RESP2: \(command.replyRESP2)\n- Reply, RESP3: \(command.replyRESP3)\n"
            switch command.keys {
            case .none: break
            case .first: out += "- Key: argument 1\n"
            case .second: out += "- Key: argument 2\n"
            case .all: out += "- Keys: every argument\n"
            case .counted: out += "- Keys: counted by argument 1\n"
            }
            return out + "\n"
        }
        out += "| subcommand | what | reply, RESP2 | reply, RESP3 |\n|---|---|---|---|\n"
        for sub in command.subcommands {
            out +=
                "| `\(sub.syntax.replacing("|", with: "\\|"))` | \(sub.summary) | \(sub.replyRESP2) | \(sub.replyRESP3) |\n"
        }
        return out + "\n"
    }
}
