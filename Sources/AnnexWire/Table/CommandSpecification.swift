/// Holds all that is known of one command: who answers it, what it takes, and everything that introspection and the
/// reference say. It is a class, so that a lookup costs one reference.
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
    /// The name is in lower case; a subcommand is `parent|child`.
    package let name: String
    /// Number of words with the name; negative: at least as many. Follows from the arguments.
    package let arity: Int
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
    /// Says which commands before it may still be owed their replies when it runs.
    package let pipelineClass: PipelineClass
    package let commandClass: CommandClass
    package let inTransaction: InTransaction
    /// The way a router takes it; a connection's own commands never reach one.
    package let routing: Routing
    /// About how long a shard takes for it.
    package let cost: ReadCost
    package static let since = "0.1.0"

    private init(
        id: CommandID,
        name: String,
        arity: Int,
        keys: Keys,
        flags: [String],
        categories: [String],
        tips: [String],
        group: String,
        summary: String,
        complexity: String,
        arguments: [CommandArgument],
        reply: (String, String),
        subcommands: [CommandSpecification],
        beforeAuthentication: Bool,
        pipelineClass: PipelineClass,
        commandClass: CommandClass,
        inTransaction: InTransaction,
        routing: Routing,
        cost: ReadCost
    ) {
        self.id = id
        self.name = name
        self.arity = arity
        self.keys = keys
        self.flags = flags
        self.categories = categories
        self.tips = tips
        self.group = group
        self.summary = summary
        self.complexity = complexity
        self.arguments = arguments
        (self.replyRESP2, self.replyRESP3) = reply
        self.subcommands = subcommands
        self.isAllowedBeforeAuthentication = beforeAuthentication
        self.pipelineClass = pipelineClass
        self.commandClass = commandClass
        self.inTransaction = inTransaction
        self.routing = routing
        self.cost = cost
    }

    /// Describes a command, or a subcommand, that a connection answers.
    ///
    /// - Parameters:
    ///   - child: the name of the subcommand.
    ///   - answersAlone: whether it may come without a subcommand, where it has some.
    ///   - ignoresFurtherWords: whether it takes words that are no arguments, and looks at none of them.
    convenience init(
        _ id: ConnectionCommand,
        child: String? = nil,
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
        ignoresFurtherWords: Bool = false,
        beforeAuthentication: Bool = false,
        pipelineClass: PipelineClass = .alone,
        inTransaction: InTransaction = .kept
    ) {
        var words = Self.words(child, arguments, subcommands, answersAlone: answersAlone)
        if ignoresFurtherWords { words.most = nil }
        self.init(
            id: .connection(id),
            name: id.rawValue + (child.map { "|" + $0 } ?? ""),
            arity: words.arity,
            keys: .none,
            flags: flags + (inTransaction == .refused ? ["no_multi"] : []) + (beforeAuthentication ? ["no_auth"] : []),
            categories: categories,
            tips: tips,
            group: group,
            summary: summary,
            complexity: complexity,
            arguments: arguments,
            reply: reply,
            subcommands: subcommands,
            beforeAuthentication: beforeAuthentication,
            pipelineClass: pipelineClass,
            commandClass: flags.contains("admin") ? .admin : .read,
            inTransaction: inTransaction,
            routing: .anywhere,
            cost: .none
        )
    }

    /// Describes a command, or a subcommand, that the handler answers.
    ///
    /// - Parameter pipelineClass: nil: that of a read where it is one, else it runs alone.
    convenience init(
        _ id: HandlerCommand,
        child: String? = nil,
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
        routing: Routing,
        cost: ReadCost,
        pipelineClass: PipelineClass? = nil,
        inTransaction: InTransaction = .kept
    ) {
        self.init(
            id: .handler(id),
            name: id.rawValue + (child.map { "|" + $0 } ?? ""),
            arity: Self.words(child, arguments, subcommands, answersAlone: false).arity,
            keys: keys,
            flags: flags + (inTransaction == .refused ? ["no_multi"] : []),
            categories: categories,
            tips: tips,
            group: group,
            summary: summary,
            complexity: complexity,
            arguments: arguments,
            reply: reply,
            subcommands: subcommands,
            beforeAuthentication: false,
            pipelineClass: pipelineClass ?? (flags.contains("readonly") ? .reads : .alone),
            commandClass: flags.contains("admin") ? .admin : flags.contains("write") ? .event : .read,
            inTransaction: inTransaction,
            routing: routing,
            cost: cost
        )
    }

    private static func words(
        _ child: String?,
        _ arguments: [CommandArgument],
        _ subcommands: [CommandSpecification],
        answersAlone: Bool
    ) -> WordCount {
        let name = child == nil ? 1 : 2
        guard subcommands.isEmpty else { return WordCount(fewest: name + (answersAlone ? 0 : 1), most: nil) }
        return WordCount(fewest: name, most: name) + arguments.words
    }

    /// Returns the same command with other subcommands.
    func replacing(subcommands: [CommandSpecification]) -> CommandSpecification {
        CommandSpecification(
            id: self.id,
            name: self.name,
            arity: self.arity,
            keys: self.keys,
            flags: self.flags,
            categories: self.categories,
            tips: self.tips,
            group: self.group,
            summary: self.summary,
            complexity: self.complexity,
            arguments: self.arguments,
            reply: (self.replyRESP2, self.replyRESP3),
            subcommands: subcommands,
            beforeAuthentication: self.isAllowedBeforeAuthentication,
            pipelineClass: self.pipelineClass,
            commandClass: self.commandClass,
            inTransaction: self.inTransaction,
            routing: self.routing,
            cost: self.cost
        )
    }
}
