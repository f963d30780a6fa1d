import AnnexWire
import Testing

/// A command, and what a server answers to it: `reply` in both protocols, or in RESP2 where `three` says what it is in RESP3.
struct CommandRow: Sendable {
    let command: String
    let reply: String
    let three: String

    init(_ command: String, _ reply: String, three: String? = nil) {
        self.command = command
        self.reply = reply
        self.three = three ?? reply
    }

    /// Blanks separate words. `x×20` is twenty of what stands before; `Bytes` has the escapes.
    var words: [[UInt8]] {
        self.command.split(separator: " ").map { word in
            let parts = word.split(separator: "×")
            let count = parts.count == 2 ? Int(parts[1]) ?? 1 : 1
            return Bytes.of(String(repeating: Bytes.unescaped(String(parts[0])), count: count))
        }
    }

    /// The protocol of the reply, and of those that follow.
    func version(after before: RESPVersion) -> RESPVersion {
        let words = self.command.split(separator: " ")
        if words[0] == "RESET" { return .two }
        guard words[0] == "HELLO", words.count > 1, !self.isError else { return before }
        return Int(words[1]).flatMap(RESPVersion.init(rawValue:)) ?? before
    }

    var isError: Bool { self.reply.hasPrefix("-") }

    /// Whether the words begin with those of a command or subcommand, as `client|list`.
    func isOf(_ name: String) -> Bool {
        let parts = name.split(separator: "|")
        return self.command.lowercased().split(separator: " ").prefix(parts.count).elementsEqual(parts)
    }
}

/// Rows that are sent in their order, over one connection, to a server of their own.
struct CommandTableOfRows: Sendable, CustomTestStringConvertible {
    let name: String
    let scene: Scene
    let rows: [CommandRow]
    var testDescription: String { self.name }

    init(_ name: String, _ scene: Scene = Scene(), _ rows: [CommandRow]) {
        self.name = name
        self.scene = scene
        self.rows = rows
    }

    static let all: [CommandTableOfRows] =
        Self.users + Self.events + Self.items + Self.connections + Self.administration + Self.clusters
}
