package import AnnexCore

extension CommandSpecification {
    static let vsim = CommandSpecification(
        .handler(.vsim),
        keys: .first,
        flags: ["readonly"],
        categories: ["@read", "@fast", "@vectorset"],
        group: "vector_set",
        summary:
            "The items nearest to an item or a vector, 10 unless `COUNT` says else. Scores are (1 + cos) / 2 on a cosine "
            + "index, the metric's own on the others; `EPSILON` is for cosine indexes.",
        complexity: "One search",
        arguments: [.key("key"), VectorQuery.argument] + VSimArguments.options,
        reply: (
            "flat array: element, score (bulk), attributes (bulk or null)",
            "array; map of element to score, attributes or [score, attributes] with options"
        ),
        routing: .anywhere,
        cost: ReadCost { request in
            guard let arguments = try? VSimArguments(request) else { return 0 }
            let values = arguments.query.componentCount
            return ReadCost.search(arguments.effort, k: arguments.count, attributes: arguments.withAttributes)
                + values * ReadCost.tenthsPerName / 10
        }
    )
}

/// `VSIM key <ELE element | FP32 blob | VALUES n value …> [options]`. Of an option given twice the last one counts, and
/// `TRUTH` beats `EF`, as in Redis.
package struct VSimArguments: Equatable, Sendable {
    private enum Option: String, CaseIterable, Sendable {
        case withScores = "WITHSCORES"
        case withAttributes = "WITHATTRIBS"
        case count = "COUNT"
        case epsilon = "EPSILON"
        case ef = "EF"
        case kappa = "KAPPA"
        case truth = "TRUTH"
    }

    static let options: [CommandArgument] = [
        .flag("WITHSCORES"), .flag("WITHATTRIBS"), .integer("n", token: "COUNT").optional,
        .double("delta", token: "EPSILON").optional, .integer("ef", token: "EF").optional,
        .double("kappa", token: "KAPPA").optional, .flag("TRUTH"),
    ]
    private static let grammar = OptionGrammar<Option>(Self.options, .lastCounts)
    package static let defaultCount = 10

    /// Position of the index's name.
    package var key: Int { 1 }
    package let query: VectorQuery
    /// 1 to 10,000.
    package private(set) var count = VSimArguments.defaultCount
    /// Above 0: keep scores of at least 1 − epsilon.
    package private(set) var epsilon: Double?
    package private(set) var withScores = false
    package private(set) var withAttributes = false
    private var ef: Int?
    private var kappa: Float?
    private var truth = false

    /// Nil: the version's own operating point. `KAPPA` is Annex's own and beats `EF`.
    package var effort: SearchEffort? {
        self.truth ? .exact : self.kappa.map { .kappa($0) } ?? self.ef.map { .efSearch($0) }
    }

    /// The arity must have been checked. Components are not looked at.
    package init(_ request: Request) throws(ArgumentFailure) {
        self.query = try VectorQuery(request)
        var reader = OptionReader(Self.grammar, from: self.query.end)
        while let found = try reader.next(in: request) {
            let value = found.values.lowerBound
            switch found.option {
            case .withScores: self.withScores = true
            case .withAttributes: self.withAttributes = true
            case .truth: self.truth = true
            case .count:
                guard let count = request.integer(value), (1...Limits.maximumK).contains(count) else {
                    throw ArgumentFailure("invalid COUNT")
                }
                self.count = count
            case .ef:
                guard let ef = request.integer(value), (1...Limits.maximumEfSearch).contains(ef) else {
                    throw ArgumentFailure("invalid EF")
                }
                self.ef = ef
            case .kappa: self.kappa = try request.kappa(value)
            case .epsilon:
                guard let epsilon = request.double(value), epsilon > 0 else { throw ArgumentFailure("invalid EPSILON") }
                self.epsilon = epsilon
            }
        }
    }
}
