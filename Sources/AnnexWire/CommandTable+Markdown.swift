/// The protocol's reference, written from the table; `docs/protocol.md` is this text.
extension CommandTable {
    private static let groups = [
        ("user", "Users"), ("vector_set", "Indexes and items"), ("server", "Server"), ("connection", "Connection"),
        ("cluster", "Cluster clients"),
    ]

    package func markdown() -> String {
        var out = """
            # Protocol

            Written by `annctl protocol-docs` from the command table; do not edit.

            The server speaks RESP2 (the default), RESP3 (after `HELLO 3`) and plain lines for people. Command names and
            option words are matched in any case. Errors begin with a code: `ERR`, `NOUSER` (no such user), `NOITEM` (no
            such item), `NOINDEX` (no such index), `BADVECTOR` (wrong dimension, NaN or infinity), `LOADING`, `TIMEOUT`,
            `OVERLOADED`, `NOAUTH`, `WRONGPASS`, `NOPROTO`.


            """
        for (group, title) in Self.groups {
            let members = self.specifications.filter { $0.group == group }
            guard !members.isEmpty else { continue }
            out += "## \(title)\n\n"
            for command in members { out += Self.markdown(command) }
        }
        return out
    }

    private static func markdown(_ command: CommandSpecification) -> String {
        var out = "### \(command.name.uppercased())\n\n    \(command.syntax)\n\n\(command.summary)\n\n"
        if command.subcommands.isEmpty {
            out += "- Complexity: \(command.complexity)\n"
            out += "- Reply, RESP2: \(command.replyRESP2)\n- Reply, RESP3: \(command.replyRESP3)\n"
            if command.keys == .first { out += "- Key: argument 1\n" }
            if command.keys == .counted { out += "- Keys: counted by argument 1\n" }
            return out + "\n"
        }
        out += "| subcommand | what | reply, RESP2 | reply, RESP3 |\n|---|---|---|---|\n"
        for sub in command.subcommands {
            out += "| `\(sub.syntax.replacing("|", with: "\\|"))` | \(sub.summary) | \(sub.replyRESP2) | \(sub.replyRESP3) |\n"
        }
        return out + "\n"
    }
}
