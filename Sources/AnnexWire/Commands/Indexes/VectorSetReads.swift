/// Redis's vector-set commands that read one thing of an index: its key is the index's name.
extension CommandSpecification {
    private static func read(
        _ id: HandlerCommand,
        summary: String,
        complexity: String = "O(1)",
        arguments: [CommandArgument] = [],
        reply: (String, String)
    ) -> CommandSpecification {
        CommandSpecification(
            .handler(id),
            keys: .first,
            flags: ["readonly", "fast"],
            categories: ["@read", "@fast", "@vectorset"],
            group: "vector_set",
            summary: summary,
            complexity: complexity,
            arguments: [.key("key")] + arguments,
            reply: reply,
            routing: .anywhere,
            cost: .negligible
        )
    }

    static let vemb = read(
        .vemb,
        summary: "The vector of an item.",
        complexity: "O(dimension)",
        arguments: [.string("element")] + ElementArguments.vembOptions,
        reply: (
            "array of bulk strings; RAW: [type, blob, norm]; null for an unknown item",
            "array of doubles; RAW: [type, blob, norm]; null for an unknown item"
        )
    )
    static let vdim = read(.vdim, summary: "The dimension of the vectors.", reply: ("integer", "integer"))
    static let vcard = read(.vcard, summary: "The number of items.", reply: ("integer", "integer"))
    static let vinfo = read(
        .vinfo,
        summary: "What the index is, which version is served, what recall was measured.",
        reply: ("flat array", "map")
    )
    static let vismember = read(
        .vismember,
        summary: "Whether an item is in the index.",
        complexity: "O(log items)",
        arguments: [.string("element")],
        reply: ("1 or 0", "boolean")
    )
    static let vgetattr = read(
        .vgetattr,
        summary: "The attributes of an item, as JSON.",
        complexity: "O(log items)",
        arguments: [.string("element")],
        reply: ("bulk string or null", "bulk string or null")
    )
    static let vlinks = read(
        .vlinks,
        summary: "The neighbours of an item in the graph, top level first.",
        complexity: "O(links)",
        arguments: [.string("element")] + ElementArguments.vlinksOptions,
        reply: (
            "array per level; flat pairs with scores; null without a graph",
            "array per level; map with scores; null"
        )
    )
}

/// `VEMB key element [RAW]` and `VLINKS key element [WITHSCORES]`: an element and one word.
package struct ElementArguments: Equatable, Sendable {
    private enum VEmbOption: String, CaseIterable, Sendable { case raw = "RAW" }
    private enum VLinksOption: String, CaseIterable, Sendable { case withScores = "WITHSCORES" }

    static let vembOptions: [CommandArgument] = [.flag("RAW")]
    static let vlinksOptions: [CommandArgument] = [.flag("WITHSCORES")]
    private static let vembGrammar = OptionGrammar<VEmbOption>(Self.vembOptions)
    private static let vlinksGrammar = OptionGrammar<VLinksOption>(Self.vlinksOptions)

    /// Position of the index's name.
    package var key: Int { 1 }
    /// Position of the item's id.
    package var element: Int { 2 }
    /// Whether the word was given.
    package let flag: Bool

    /// `Option` has one case.
    private init<Option>(_ request: Request, _ grammar: OptionGrammar<Option>) throws(ArgumentFailure) {
        var flag = false
        var reader = OptionReader(grammar, from: 3)
        while try reader.next(in: request) != nil { flag = true }
        self.flag = flag
    }

    /// The arity must have been checked.
    package static func vemb(_ request: Request) throws(ArgumentFailure) -> Self { try Self(request, Self.vembGrammar) }

    /// The arity must have been checked.
    package static func vlinks(_ request: Request) throws(ArgumentFailure) -> Self {
        try Self(request, Self.vlinksGrammar)
    }
}
