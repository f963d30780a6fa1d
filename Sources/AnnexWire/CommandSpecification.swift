/// Every command that can be dispatched. A command without a row in the table has no way to get here.
package enum CommandID: String, Sendable, CaseIterable {
    case ping, echo, hello, auth, quit, reset, select, client, command, config, info, slowlog, latency
    case readonly, readwrite, asking, deadline
    case multi, exec, discard, watch
    case topk, mtopk, score
    case event, seen, forget, explain, whynot, waitpos, atomic
    case eventDelete = "event.del"
    case vsim, vemb, vdim, vcard, vinfo, vismember, vrandmember, vgetattr, vlinks
    case indexes, reload, dbsize, ready
    case type, exists, scan, memory, cluster, acl, role
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
    package static func oneof(_ name: String, token: String? = nil, _ children: [Self]) -> Self {
        Self(name: name, kind: .oneof, token: token, children: children)
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
        if self.kind == .oneof, self.token != nil || !self.isOptional { text = "<\(text)>" }
        if let token, self.kind != .pureToken { text = token + " " + text }
        return self.isOptional ? "[\(text)]" : text
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
        /// Every argument is a key.
        case all
        /// The key follows the subcommand.
        case second
        /// Argument 1 says how many keys follow.
        case counted
    }
    /// Commands of one class run while others of it are still owed their replies: so a pipeline of events shares flushes of
    /// the disk, and a pipeline of reads is on its way to many shards at once. A read never overtakes an event.
    package enum PipelineClass: Sendable {
        /// It runs when all replies before it have been given.
        case alone
        /// Reads nothing that those before it change.
        case changes
        /// Changes nothing.
        case reads
        /// Says something about the next command: it runs at once, whatever is owed.
        case prefix
    }

    /// Whom a command concerns: what rights are given by.
    package enum CommandClass: String, Sendable {
        /// Changes nothing.
        case read
        /// Changes what is known of users.
        case event
        /// Changes items.
        case item
        /// Concerns the server itself.
        case admin
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
    /// Whether its keys are users, who live on one shard each.
    package let isAboutUser: Bool
    /// Which commands before it may still be owed their replies when it runs.
    package let pipelineClass: PipelineClass
    package let commandClass: CommandClass
    package static let since = "0.1.0"

    init(
        _ id: CommandID,
        _ name: String,
        arity: Int,
        owner: Owner = .connection,
        keys: Keys = .none,
        flags: [String],
        categories: [String],
        tips: [String] = [],
        group: String,
        summary: String,
        complexity: String = "O(1)",
        arguments: [CommandArgument] = [],
        reply: (String, String),
        subcommands: [CommandSpecification] = [],
        beforeAuthentication: Bool = false,
        pipelineClass: PipelineClass? = nil,
        commandClass: CommandClass? = nil
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
        self.isAboutUser = group == "user"
        self.pipelineClass =
            pipelineClass ?? (owner == .handler && flags.contains("readonly") ? .reads : .alone)
        self.commandClass =
            commandClass ?? (flags.contains("admin") ? .admin : flags.contains("write") ? .event : .read)
    }

    private init(copying other: CommandSpecification, subcommands: [CommandSpecification]) {
        self.id = other.id
        self.name = other.name
        self.arity = other.arity
        self.owner = other.owner
        self.keys = other.keys
        self.flags = other.flags
        self.categories = other.categories
        self.tips = other.tips
        self.group = other.group
        self.summary = other.summary
        self.complexity = other.complexity
        self.arguments = other.arguments
        self.replyRESP2 = other.replyRESP2
        self.replyRESP3 = other.replyRESP3
        self.subcommands = subcommands
        self.isAllowedBeforeAuthentication = other.isAllowedBeforeAuthentication
        self.isAboutUser = other.isAboutUser
        self.pipelineClass = other.pipelineClass
        self.commandClass = other.commandClass
    }

    /// Position of the first key, 0 where there is none or where a count says how many there are.
    package var firstKey: Int {
        switch self.keys {
        case .none, .counted: 0
        case .first, .all: 1
        case .second: 2
        }
    }
    /// Position of the last key; -1 stands for the last argument.
    package var lastKey: Int { self.keys == .all ? -1 : self.firstKey }
    package var keyStep: Int { self.firstKey == 0 ? 0 : 1 }

    /// The same command with other subcommands.
    func replacing(subcommands: [CommandSpecification]) -> CommandSpecification {
        CommandSpecification(copying: self, subcommands: subcommands)
    }

    /// Where the keys of a command are that begins at argument `base`; nil where a count does not fit the arguments.
    /// The arity must have been checked.
    package func keys(in request: Request, from base: Int = 0) -> Range<Int>? {
        switch self.keys {
        case .none: return base..<base
        case .first: return base + 1..<base + 2
        case .second: return base + 2..<base + 3
        case .all: return base + 1..<request.count
        case .counted:
            guard let count = request.integer(base + 1), count >= 1, count <= request.count - base - 2 else {
                return nil
            }
            return base + 2..<base + 2 + count
        }
    }

    /// Whether it may stand between MULTI and EXEC.
    package var isAllowedInTransaction: Bool { !self.flags.contains(Self.noMulti) }
    static let noMulti = "no_multi"

    package func accepts(count: Int) -> Bool { self.arity >= 0 ? count == self.arity : count >= -self.arity }

    /// `TOPK user k [INDEX name] …`
    package var syntax: String {
        ([self.name.uppercased().replacing("|", with: " ")] + self.arguments.map(\.syntax)).joined(separator: " ")
    }
}
