import AnnexCore
import AnnexEngine
import AnnexWire

/// Redis's vector-set commands that read one thing. The key is the index's name.
extension ShardHandler {
    /// Returns the element that argument 2 names; no ordinal where the index has no such item.
    func element(_ request: Request) throws(ArgumentFailure) -> (lane: Lane, ordinal: Int32?) {
        let lane = try self.lane(request, name: 1)
        return (lane, request.withIdentifier(2) { lane.context.ordinal(of: $0) })
    }

    func attributes(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) {
        let (lane, ordinal) = try self.element(request)
        guard let ordinal else { return reply.null() }
        AttributeReply.write(ordinal, lane.context, &reply)
    }

    func embedding(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) {
        let (lane, ordinal) = try self.element(request)
        let arguments = try ElementArguments.vemb(request)
        guard let ordinal else { return reply.null() }
        Self.embedding(ordinal, raw: arguments.flag, lane.context, &reply)
    }

    func links(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) {
        let (lane, ordinal) = try self.element(request)
        let arguments = try ElementArguments.vlinks(request)
        guard let ordinal else { return reply.null() }
        Self.links(ordinal, withScores: arguments.flag, lane.context, &reply)
    }

    /// Writes, with RAW, `[f32, little-endian floats, Euclidean norm]`; the floats are the row as given to the build.
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
                if withScores { reply.double(VectorSetScore.of(score, metric)) }
            }
        }
    }
}

/// Scores are `(1 + cos) / 2` on a cosine index and the raw score on the others.
enum VectorSetScore {
    static func of(_ score: Float, _ metric: Metric) -> Float { metric == .cosine ? (1 + score) / 2 : score }
}
