import AnnexCore
import AnnexEngine
import AnnexWire

/// Redis's vector-set commands that read. The key is the index's name; scores are `(1 + cos) / 2` on a cosine index and
/// the raw score on the others.
enum VectorSetCommands {
    /// `EF` on an inverted file counts items to read: as many lists as hold them on average.
    static func effort(
        _ stated: SearchEffort?,
        _ version: VersionDescription
    ) throws(ArgumentFailure) -> SearchEffort {
        guard case .efSearch(let ef)? = stated else {
            guard let stated else { return version.defaultItemEffort }
            guard version.accepts(stated) else {
                throw ArgumentFailure(
                    "KAPPA is for inverted files on ip and cosine, index '\(version.index)' is \(version.kind): leave it out"
                )
            }
            return stated
        }
        switch version.kind.family {
        case .hnsw: return .efSearch(ef)
        case .flat: return .exact
        case .ivf(let lists):
            return .nprobe(max(1, min(lists, (ef * lists + version.itemCount - 1) / version.itemCount)))
        }
    }

    static func clientScore(_ score: Float, _ metric: Metric) -> Float { metric == .cosine ? (1 + score) / 2 : score }

    // MARK: VSIM

    /// False where the search takes longer than the budget: nothing is written then.
    static func similar(
        _ arguments: VSimArguments,
        _ effort: SearchEffort,
        _ request: Request,
        _ context: QueryContext,
        budget: Double,
        _ reply: inout ReplyWriter
    ) -> Bool {
        let metric = context.version.description.metric
        let answer: SimilarityAnswer
        do throws(ArgumentFailure) {
            if arguments.epsilon != nil, metric != .cosine {
                throw ArgumentFailure(
                    "EPSILON needs the metric cosine, this index has \(metric.rawValue): leave it out"
                )
            }
            let query = SimilarityQuery(
                k: arguments.count,
                effort: effort,
                withAttributes: arguments.withAttributes,
                budgetNanos: budget
            )
            answer = try Self.answer(query, arguments.query, request, context)
        } catch {
            reply.error(error)
            return true
        }
        switch answer {
        case .tooCostly: return false
        case .badVector(let problem): Self.write(problem, context, &reply)
        case .hits:
            if let epsilon = arguments.epsilon {
                context.trimHits { Double(Self.clientScore($0, metric)) >= 1 - epsilon }
            }
            Self.write(arguments, metric, context, &reply)
        }
        return true
    }

    private static func answer(
        _ query: SimilarityQuery,
        _ source: VectorQuery,
        _ request: Request,
        _ context: QueryContext
    ) throws(ArgumentFailure) -> SimilarityAnswer {
        guard case .element(let position) = source else {
            do throws(AnnexError) {
                return try context.answer(query, nearVectorOf: source.componentCount) {
                    source.component($0, in: request)
                }
            } catch { throw ArgumentFailure("\(error)") }
        }
        if let ordinal = request.withIdentifier(position, { context.ordinal(of: $0) }) {
            do throws(AnnexError) { return try context.answer(query, near: ordinal) } catch {
                throw ArgumentFailure("\(error)")
            }
        }
        throw ArgumentFailure(
            code: .noItem,
            "element not found in set: no item '\(request.printable(position))' in index "
                + "'\(context.version.description.index)'"
        )
    }

    private static func write(_ problem: VectorProblem, _ context: QueryContext, _ reply: inout ReplyWriter) {
        let dimension = context.version.description.dimension
        switch problem {
        case .length(let count):
            reply.error(code: .badVector, "Vector dimension mismatch - got \(count) but set has \(dimension)")
        case .notFinite(let position):
            reply.error(code: .badVector, "component \(position + 1) of \(dimension) is not a finite number")
        case .unscorable(let reason): reply.error(code: .badVector, "\(reason): scale the vector")
        }
    }

    private static func write(
        _ arguments: VSimArguments,
        _ metric: Metric,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) {
        let width = (arguments.withScores ? 1 : 0) + (arguments.withAttributes ? 1 : 0)
        let asMap = width > 0 && reply.version == .three
        if asMap { reply.map(context.hits.count) } else { reply.array(context.hits.count * (1 + width)) }
        for hit in context.hits where !reply.isOverBudget {
            context.withIdentifier(hit.ordinal) { reply.bulk($0) }
            if asMap, width == 2 { reply.array(2) }
            if arguments.withScores { reply.double(Self.clientScore(hit.score, metric)) }
            if arguments.withAttributes { AttributeReply.write(hit.ordinal, context, &reply) }
        }
    }

    // MARK: The others

    static func read(
        _ id: CommandID,
        _ request: Request,
        _ lane: ShardHandler.Lane,
        _ engine: Engine,
        _ reply: inout ReplyWriter
    ) throws(ArgumentFailure) {
        let context = lane.context
        func ordinal(_ position: Int) -> Int32? { request.withIdentifier(position) { context.ordinal(of: $0) } }
        switch id {
        case .vdim: reply.integer(lane.version.description.dimension)
        case .vcard: reply.integer(lane.version.description.itemCount)
        case .vinfo: VersionInfo.write(lane.version, engine, &reply)
        case .vismember: reply.boolean(ordinal(2) != nil)
        case .vgetattr:
            if let found = ordinal(2) { AttributeReply.write(found, context, &reply) } else { reply.null() }
        case .vemb:
            let arguments = try ElementArguments.vemb(request)
            guard let found = ordinal(arguments.element) else { return reply.null() }
            Self.embedding(found, raw: arguments.flag, context, &reply)
        case .vlinks:
            let arguments = try ElementArguments.vlinks(request)
            guard let found = ordinal(arguments.element) else { return reply.null() }
            Self.links(found, withScores: arguments.flag, context, &reply)
        default: reply.error(code: .error, "this command is not served here")
        }
    }

    /// RAW: `[f32, little-endian floats, Euclidean norm]`; the floats are the row as given to the build.
    private static func embedding(_ ordinal: Int32, raw: Bool, _ context: QueryContext, _ reply: inout ReplyWriter) {
        context.withVector(ordinal) { row in
            guard raw else {
                reply.array(row.count)
                for index in row.indices { reply.double(row[index]) }
                return
            }
            reply.array(3)
            reply.status("f32")
            row.withUnsafeBytes { reply.bulk($0) }
            reply.double(row.indices.reduce(0.0) { $0 + Double(row[$1]) * Double(row[$1]) }.squareRoot())
        }
    }

    private static func links(_ ordinal: Int32, withScores: Bool, _ context: QueryContext, _ reply: inout ReplyWriter) {
        guard let levels = context.version.links(of: ordinal) else { return reply.null() }
        let metric = context.version.description.metric
        reply.array(levels.count)
        for level in levels {
            if withScores { reply.map(level.count) } else { reply.array(level.count) }
            context.forEachScore(near: ordinal, of: level) { neighbour, score in
                context.withIdentifier(neighbour) { reply.bulk($0) }
                if withScores { reply.double(Self.clientScore(score, metric)) }
            }
        }
    }

    /// Without a count one member; with a count above 0 so many different ones, below 0 so many with repeats.
    static func randomMembers(
        _ count: Int?,
        _ context: QueryContext,
        _ reply: inout ReplyWriter
    ) {
        var random = SystemRandomNumberGenerator()
        let items = context.version.description.itemCount
        func write(_ ordinal: Int) { context.withIdentifier(Int32(ordinal)) { reply.bulk($0) } }
        guard let count else { return write(Int.random(in: 0..<items, using: &random)) }
        if count < 0 {
            reply.array(-count)
            for _ in 0..<(-count) { write(Int.random(in: 0..<items, using: &random)) }
            return
        }
        if count >= items {
            reply.array(items)
            for ordinal in 0..<items { write(ordinal) }
            return
        }
        // Floyd's sampling (Bentley and Floyd 1987): O(count), each subset as likely.
        var chosen = Set<Int>()
        reply.array(count)
        for last in items - count..<items {
            let drawn = Int.random(in: 0...last, using: &random)
            let ordinal = chosen.insert(drawn).inserted ? drawn : last
            chosen.insert(ordinal)
            write(ordinal)
        }
    }
}
