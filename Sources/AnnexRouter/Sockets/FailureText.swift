import AnnexCore
import AnnexWire

/// Writes the error that a client gets when no shard answered.
enum FailureText {
    static func write(
        _ failure: Failure,
        slot: Int?,
        lane: Lane,
        topology: ClusterTopology,
        settings: RouterSettings,
        _ reply: inout ReplyWriter
    ) {
        let shard = slot.flatMap { topology.shard(of: $0) }.map { topology.shards[$0] }
        let target = slot.map { "slot \($0)" + (shard.map { " (shard '\($0.name)')" } ?? "") } ?? "any shard"
        let isHeavy = lane == .heavy
        let read = (isHeavy ? settings.heavyDeadline : settings.readDeadline) / RouterSettings.millisecond
        let event = settings.eventDeadline / RouterSettings.millisecond
        switch failure {
        case .timedOut:
            reply.error(code: .timeout, "no replica for \(target) answered within \(read) ms: try again")
        case .timedOutMaybeStored:
            reply.error(
                code: .timeout,
                "no replica for \(target) answered within \(event) ms; the change may be stored or not: "
                    + "an EVENT with AT may be sent again"
            )
        case .lostMaybeStored:
            reply.error(
                code: .timeout,
                "the connection to the replica for \(target) was lost; the change may be stored or not: "
                    + "an EVENT with AT may be sent again"
            )
        case .shardDown:
            reply.error(code: .clusterDown, "no replica serves \(target) now, nothing was changed: try again")
        case .overloaded where isHeavy:
            reply.error(
                code: .overloaded,
                "too many costly reads wait for \(target): wait for replies before you ask on"
            )
        case .overloaded:
            reply.error(code: .overloaded, "too much waits for \(target), nothing was changed: try again in a moment")
        case .unowned:
            reply.error(code: .clusterDown, "no shard owns \(target): see `annctl cluster check`")
        }
    }
}
