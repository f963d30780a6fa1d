import AnnexCore
import AnnexEngine
import AnnexWire

/// Answers VRANDMEMBER.
extension ShardHandler {
    func randomMembers(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) -> Disposition {
        let arguments = try VRandMemberArguments(request)
        let lane = try self.lane(request, name: arguments.key)
        let nanos = Double((arguments.count ?? 1).magnitude) * WorkEstimate.nanosPerMember
        return self.run(lane, nanos, &reply) { Self.randomMembers(arguments.count, $0, &$1) }
    }

    /// Draws one member without a count, so many different ones with a count above 0, and so many with repeats below 0.
    private static func randomMembers(
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
        // Floyd's sampling (Bentley and Floyd 1987) takes O(count), and draws each subset as likely.
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
