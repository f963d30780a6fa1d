import AnnexCore
import AnnexEngine
import AnnexWire

/// Answers VSIM.
extension ShardHandler {
    func similar(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) -> Disposition {
        let arguments = try VSimArguments(request)
        let lane = try self.lane(request, name: arguments.key)
        let effort = try Similarity.effort(arguments.effort, lane.version.description)
        let budget = WorkEstimate.loopBudgetNanos
        let isMade = Self.here(&reply) {
            Similarity.answer(arguments, effort, request, lane.context, budget: budget, &$0)
        }
        if isMade { return .done }
        return Self.onWorker(lane.version) {
            _ = Similarity.answer(arguments, effort, request, $0, budget: .infinity, &$1)
        }
    }
}

private enum Similarity {
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

    /// Returns false where the search takes longer than the budget: nothing is written then.
    static func answer(
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
                context.trimHits { Double(VectorSetScore.of($0, metric)) >= 1 - epsilon }
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
            } catch { throw ArgumentFailure(error) }
        }
        if let ordinal = request.withIdentifier(position, { context.ordinal(of: $0) }) {
            do throws(AnnexError) { return try context.answer(query, near: ordinal) } catch {
                throw ArgumentFailure(error)
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
            if arguments.withScores { reply.double(VectorSetScore.of(hit.score, metric)) }
            if arguments.withAttributes { AttributeReply.write(hit.ordinal, context, &reply) }
        }
    }
}
