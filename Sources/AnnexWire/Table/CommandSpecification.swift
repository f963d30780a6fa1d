/// All that is known of one command: who answers it, what it takes, and everything that introspection and the reference say. A
/// class, so that a lookup costs one reference.
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

    package let id: CommandID
    /// Lower case; a subcommand is `parent|child`.
    package let name: String
    /// Number of words with the name; negative: at least as many. Follows from the arguments.
    package let arity: Int
    /// The most words with the name that it takes; nil where there is no end, or where options have their own error.
    package let maximumCount: Int?
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
    /// Which commands before it may still be owed their replies when it runs.
    package let pipelineClass: PipelineClass
    package let inTransaction: InTransaction
    /// The way a router takes it; a connection's own commands never reach one.
    package let routing: Routing
    /// About how long a shard takes for it.
    package let cost: ReadCost
    /// Whom it concerns.
    package var commandClass: CommandClass {
        self.flags.contains("admin") ? .admin : self.flags.contains("write") ? .event : .read
    }
    package static let since = "0.1.0"

    /// A command, or a subcommand.
    ///
    /// - Parameters:
    ///   - name: that of a row whose id has none.
    ///   - answersAlone: whether it may come without a subcommand, where it has some.
    ///   - takesFurtherWords: whether words that are no arguments leave its arity right.
    ///   - routing: a command of the handler gives it, and its cost.
    ///   - pipelineClass: nil: that of a read where it is one, else it runs alone.
    init(
        _ id: CommandID,
        name: String? = nil,
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
        answersAlone: Bool = false,
        takesFurtherWords: Bool = false,
        beforeAuthentication: Bool = false,
        routing: Routing? = nil,
        cost: ReadCost? = nil,
        pipelineClass: PipelineClass? = nil,
        inTransaction: InTransaction = .kept
    ) {
        guard let name = name ?? id.name else { preconditionFailure("a row without a name: \(summary)") }
        if case .handler = id { precondition(routing != nil && cost != nil, "\(name) has no routing, or no cost") }
        var words = arguments.words + WordCount(exactly: name.contains("|") ? 2 : 1)
        if !subcommands.isEmpty, !answersAlone { words.fewest += 1 }
        if takesFurtherWords || !subcommands.isEmpty { words.most = nil }
        self.id = id
        self.name = name
        self.arity = words.arity
        self.maximumCount = arguments.contains(where: \.hasToken) ? nil : words.most
        self.keys = keys
        self.flags =
            flags + (inTransaction == .refused ? ["no_multi"] : []) + (beforeAuthentication ? ["no_auth"] : [])
        self.categories = categories
        self.tips = tips
        self.group = group
        self.summary = summary
        self.complexity = complexity
        self.arguments = arguments
        (self.replyRESP2, self.replyRESP3) = reply
        self.subcommands = subcommands
        self.isAllowedBeforeAuthentication = beforeAuthentication
        self.pipelineClass = pipelineClass ?? (flags.contains("readonly") ? .reads : .alone)
        self.inTransaction = inTransaction
        self.routing = routing ?? .anywhere
        self.cost = cost ?? .negligible
    }
}
