/// Every command that can be dispatched. A command without a row in the table has no way to get here.
package enum CommandID: String, Sendable, CaseIterable {
    case ping, echo, hello, auth, quit, reset, select, client, command, config, info, slowlog, latency
    case readonly, readwrite, asking
    case topk, mtopk, score
    case vsim, vemb, vdim, vcard, vinfo, vismember, vrandmember, vgetattr, vlinks
    case indexes, reload, dbsize
}

/// One argument of a command, as `COMMAND DOCS` and the reference describe it.
package struct CommandArgument: Sendable {
    package enum Kind: String, Sendable {
        case key, string, integer, double, block, oneof
        case pureToken = "pure-token"
    }

    package var name: String
    package var kind: Kind
    package var token: String?
    package var isOptional = false
    package var isMultiple = false
    package var children: [CommandArgument] = []

    package static func key(_ name: String) -> Self { Self(name: name, kind: .key) }
    package static func string(_ name: String, token: String? = nil) -> Self {
        Self(name: name, kind: .string, token: token)
    }
    package static func integer(_ name: String, token: String? = nil) -> Self {
        Self(name: name, kind: .integer, token: token)
    }
    package static func double(_ name: String, token: String? = nil) -> Self {
        Self(name: name, kind: .double, token: token)
    }
    package static func flag(_ token: String) -> Self {
        Self(name: token.lowercased(), kind: .pureToken, token: token, isOptional: true)
    }
    package static func word(_ token: String) -> Self { Self(name: token.lowercased(), kind: .pureToken, token: token) }
    package static func block(_ name: String, token: String? = nil, _ children: [Self]) -> Self {
        Self(name: name, kind: .block, token: token, children: children)
    }
    package static func oneof(_ name: String, _ children: [Self]) -> Self {
        Self(name: name, kind: .oneof, children: children)
    }

    package var optional: Self {
        var copy = self
        copy.isOptional = true
        return copy
    }
    package var multiple: Self {
        var copy = self
        copy.isMultiple = true
        return copy
    }

    /// As in a manual: `[COUNT n]`, `<ELE element | FP32 blob>`, `item [item …]`.
    package var syntax: String {
        var text: String
        switch self.kind {
        case .pureToken: text = self.token ?? self.name
        case .block: text = self.children.map(\.syntax).joined(separator: " ")
        case .oneof: text = self.children.map(\.syntax).joined(separator: " | ")
        case .key, .string, .integer, .double: text = self.name
        }
        if self.isMultiple { text += " [\(text) …]" }
        if let token, self.kind != .pureToken { text = token + " " + text }
        if self.isOptional { return "[\(text)]" }
        return self.kind == .oneof ? "<\(text)>" : text
    }
}

/// All that is known of one command: its parser's arity, who runs it, and everything that introspection and the
/// reference say. A class, so that a lookup costs one reference.
package final class CommandSpecification: Sendable {
    package enum Owner: Sendable { case connection, handler }
    package enum Keys: Sendable, Equatable {
        case none
        /// The key is argument 1.
        case first
        /// Argument 1 says how many keys follow.
        case counted
    }

    package let id: CommandID
    /// Lower case; a subcommand is `parent|child`.
    package let name: String
    /// Number of words with the name; negative: at least as many.
    package let arity: Int
    package let owner: Owner
    package let keys: Keys
    package let flags: [String]
    package let categories: [String]
    package let tips: [String]
    package let group: String
    package let summary: String
    package let complexity: String
    package let arguments: [CommandArgument]
    package let replyRESP2: String
    package let replyRESP3: String
    package let subcommands: [CommandSpecification]
    package let isAllowedBeforeAuthentication: Bool
    package static let since = "0.1.0"

    init(
        _ id: CommandID, _ name: String, arity: Int, owner: Owner = .connection, keys: Keys = .none,
        flags: [String], categories: [String], tips: [String] = [], group: String, summary: String,
        complexity: String = "O(1)", arguments: [CommandArgument] = [], reply: (String, String),
        subcommands: [CommandSpecification] = [], beforeAuthentication: Bool = false
    ) {
        self.id = id
        self.name = name
        self.arity = arity
        self.owner = owner
        self.keys = keys
        self.flags = flags + (beforeAuthentication ? ["no_auth"] : [])
        self.categories = categories
        self.tips = tips
        self.group = group
        self.summary = summary
        self.complexity = complexity
        self.arguments = arguments
        (self.replyRESP2, self.replyRESP3) = reply
        self.subcommands = subcommands
        self.isAllowedBeforeAuthentication = beforeAuthentication
    }

    package func accepts(count: Int) -> Bool { self.arity >= 0 ? count == self.arity : count >= -self.arity }

    /// `TOPK user k [INDEX name] …`
    package var syntax: String {
        ([self.name.uppercased().replacing("|", with: " ")] + self.arguments.map(\.syntax)).joined(separator: " ")
    }
}
