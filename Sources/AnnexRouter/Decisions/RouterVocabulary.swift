/// Names a row in the table of requests (or attempts), and which of its successive tenants is meant.
package struct RequestID: Sendable, Hashable {
    /// The number is small and reused, so it fits as an index into arrays of the caller's own.
    package let index: Int32
    package let generation: UInt32
}

package struct AttemptID: Sendable, Hashable {
    package let index: Int32
    package let generation: UInt32
}

/// Describes a request on its way to a replica: what is to be written, and where.
package struct Dispatch: Sendable, Equatable {
    package enum Reason: UInt8, Sendable {
        case first, retry, hedge, redirect
        /// A second attempt where nobody listened when last tried. It burdens nobody, so no budget is asked.
        case knock
    }

    package let request: RequestID
    /// Kept by the caller in the order in which it wrote to the connection, and handed back with the reply.
    package let attempt: AttemptID
    package let replica: Int
    package let reason: Reason
    /// A change or a heavy read must not be carried out later. On the clock of `now`; `.max` for other reads.
    package let expiresAt: UInt64
}

/// Says how an attempt ended.
package enum Outcome: UInt8, Sendable, CaseIterable {
    /// A reply that answers the request: a result, or an error that another replica would give as well.
    case answered
    /// Refused before anything was done, as this replica cannot now: `LOADING`, `MASTERDOWN`, `CLUSTERDOWN`.
    case unavailable
    /// Refused before anything was done, as too much waits there: `OVERLOADED`.
    case overloaded
    /// Made before what the client had to see: not to be given to it.
    case stale
    /// The event's item is not in the version that this replica serves; another may serve a newer one.
    case unknownItem
    /// The reply was `MOVED`: the topology that the router has is not the replica's.
    case moved
    /// The replica gave up half way (`TIMEOUT`): an event may have been stored.
    case timedOut
    /// The connection ended after the request may have been written: an event may have been stored.
    case lost
    /// There was no connection, so that not a byte was written.
    case unsent
}

/// Says why a request ends without a reply of a shard.
package enum Failure: UInt8, Sendable, CaseIterable {
    /// The deadline passed. Nothing was changed: it was a read.
    case timedOut
    /// The deadline passed, or the connection broke, with an event under way: it may have been stored, or not.
    case timedOutMaybeStored
    case lostMaybeStored
    /// No replica of the shard can be asked.
    case shardDown
    /// They can, but too much waits already.
    case overloaded
    /// No shard owns the slot.
    case unowned
}

extension Failure {
    /// Tells whether it is certain that nothing of the request can be carried out any more.
    package var isOver: Bool { self != .lostMaybeStored }
}

/// Says what becomes of a new request.
package enum Decision: Sendable, Equatable {
    case send(Dispatch)
    /// A heavy read that waits for its turn: an action sends it, or says that it failed.
    case wait(RequestID)
    case refuse(Failure)
}

/// The decision about a reply, or about the request whose attempt ended without one.
package enum Verdict: Sendable, Equatable {
    /// Forward the reply; the request is done.
    case deliver(RequestID)
    /// Swallow the reply, if there is one: nobody waits for it, or another attempt is under way.
    case drop
    /// Swallow the reply and send the request again.
    case resend(Dispatch)
    case fail(RequestID, Failure)
    /// Keep the reply until another attempt has ended, which could be carried out after the client was answered.
    case keep(RequestID)
    /// Forward the reply that was kept; the request is done.
    case deliverKept(RequestID)
}

/// Asks for something that the machine wants done on its own account; see `RouterDecisions.nextAction()`.
package enum Action: Sendable, Equatable {
    case send(Dispatch)
    case fail(RequestID, Failure)
    /// Forward the reply that was kept; the request is done.
    case deliverKept(RequestID)
    /// Send a PING on the replica's own health connection, opening it where there is none; `fresh`: close it first, as
    /// what was sent there before will not be answered.
    case ping(replica: Int, fresh: Bool)
    /// A change of health, for the log and for whoever lists nodes.
    case health(replica: Int, HealthChange)
    /// Close the replica's connections for reads and changes: a reply has been owed there for `replyLimit`.
    case reset(replica: Int)
    /// Close those for heavy reads: a reply has been owed there for `heavyDeadline` and `replyLimit`.
    case resetHeavy(replica: Int)
    /// A replica answered `MOVED`, so the topology is to be read again. It comes at most once a second.
    case topologyIsStale
    /// The last reply of a replica that is no longer in the topology has come (or there was none): close its connections.
    case retired(replica: Int)
}

/// Sums since the machine was made.
package struct RouterCounters: Sendable, Equatable {
    /// Counts requests that were sent; refused ones are counted under `refusals`.
    package var requests: UInt64 = 0
    package var reads: UInt64 = 0
    /// Heavy reads are counted among the requests, and not among `reads`.
    package var heavyReads: UInt64 = 0
    /// Heavy reads that had to wait for their turn, and those that found no room to wait, or had to make room.
    package var heavyWaits: UInt64 = 0
    package var heavyRefusals: UInt64 = 0
    package var retries: UInt64 = 0
    package var hedges: UInt64 = 0
    package var redirects: UInt64 = 0
    package var refusals: UInt64 = 0
    package var timeouts: UInt64 = 0
    package var failures: UInt64 = 0
    /// Counts events whose item one replica did not know, which were asked of another one.
    package var secondOpinions: UInt64 = 0
    /// Counts attempts at replicas that had been left out, as their whole shard had.
    package var lastResorts: UInt64 = 0
    /// Replies that came after their request had ended.
    package var lateReplies: UInt64 = 0
    /// Retries and hedges that the budget did not allow.
    package var unaffordable: UInt64 = 0
}
