package import AnnexCore

/// Holds a request that has not ended. It has at least one attempt under way, or is a heavy read that waits for its
/// turn.
struct PendingRequest {
    let kind: RequestKind
    /// -1: any shard will do.
    let slot: Int32
    let deadline: UInt64
    /// Who asks; heavy reads take turns by it.
    let client: UInt64
    /// Holds the time when a second attempt is made although the first may still be answered. It is `.max` where none
    /// is made, or none any more.
    var hedgeAt: UInt64 = .max
    var nudgeAt: UInt64 = .max
    /// An attempt was made whose end says nothing about whether the event was stored.
    var isMaybeStored = false
    /// An attempt that ended without a reply may still be carried out until then, by any clock.
    var aliveUntil: UInt64 = 0
    /// There is a reply, which waits for another attempt to end.
    var isKept = false

    /// Another replica was asked as one did not know the event's item.
    var hasSecondOpinion = false

    /// Counts the attempts that were made: so many elements of `tried` and `attempts` are in use.
    var sent = 0
    /// Counts those that are under way.
    var underWay = 0
    /// Holds the replicas that were asked.
    var tried = InlineArray<4, Int32>(repeating: -1)
    /// Holds places in the table of attempts; -1 where an attempt has ended.
    var attempts = InlineArray<4, Int32>(repeating: -1)

    // The queue of heavy reads that wait: its row for the client, -1 where the request does not wait; and the neighbours there.
    var line: Int32 = -1
    var lineBefore: Int32 = -1
    var lineAfter: Int32 = -1
    /// Holds the shard for which it waits.
    var waitsFor: Int32 = -1

    // The timer wheel uses what follows.
    var wake: UInt64 = 0
    var timerBefore: Int32 = -1
    var timerAfter: Int32 = -1
    var timerList: Int32 = 0

    /// Returns the time when it is to be looked at next.
    var nextWake: UInt64 { min(self.deadline, self.hedgeAt, self.nudgeAt) }

    func hasTried(_ replica: Int) -> Bool {
        for attempt in 0..<self.sent where Int(self.tried[attempt]) == replica { return true }
        return false
    }
}

/// A reply that a replica owes.
struct OwedReply {
    /// -1: nobody waits for it any more.
    var request: Int32
    /// Says which of the request's attempts it is.
    let ordinal: Int
    let replica: Int32
    let kind: RequestKind
    let sentAt: UInt64
    /// Holds the time after which a change must not be carried out any more.
    let expiresAt: UInt64
    /// Links the neighbours in the replica's queue of the kind.
    var before: Int32
    var after: Int32 = -1
}

/// Replies of one kind that a replica owes, oldest first: rows in the table of owed replies.
struct OwedQueue {
    var count = 0
    var oldest: Int32 = -1
    var newest: Int32 = -1
    var oldestSentAt: UInt64 = .max

    /// Reads, heavy reads and events wait apart: a slow log must not look like a replica that cannot read.
    static func of(_ kind: RequestKind) -> Int {
        switch kind {
        case .read: 0
        case .event, .idempotentEvent: 1
        case .heavyRead: Self.heavy
        }
    }

    static let heavy = 2
}

/// Holds one replica as this router sees it.
struct KnownReplica {
    let address: ClusterTopology.Address
    /// -1: it is no longer in the topology.
    var shard: Int
    var health: ReplicaHealth

    /// Replies it owes, those nobody waits for among them: reads, then events, then heavy reads.
    var queues = InlineArray<3, OwedQueue>(repeating: OwedQueue())
    /// Holds the times until which others are asked first, one for each kind.
    var avoidUntil = InlineArray<3, UInt64>(repeating: 0)

    var nextPing: UInt64
    var isPingOwed = false
    /// PINGs due since the last answer or the last new health connection.
    var silentPings = 0
    /// Counts times in a row that the health connection ended or could not be made.
    var goneInRow = 0
    /// Says when a request may try again to connect, where nobody listened and no other replica can be asked.
    var nextKnock: UInt64 = 0
    /// It was left out since it was last healthy; and until when it gets a growing share after that.
    var wasOut = false
    var warmUntil: UInt64 = 0
    var lastReset: UInt64 = 0
    var lastHeavyReset: UInt64 = 0

    var latency = LatencyEstimate()
    var replies: UInt64 = 0
    var failures: UInt64 = 0

    var inFlight: Int { self.queues[0].count + self.queues[1].count + self.queues[2].count }
    /// Latency of reads and events.
    var oldestSentAt: UInt64 { min(self.queues[0].oldestSentAt, self.queues[1].oldestSentAt) }

    init(_ address: ClusterTopology.Address, shard: Int, now: UInt64) {
        self.address = address
        self.shard = shard
        self.health = ReplicaHealth()
        self.nextPing = now
    }
}

/// Describes a replica as `annctl cluster status` and `INFO` show it.
package struct ReplicaStatus: Sendable, Equatable {
    package let address: ClusterTopology.Address
    /// With nil the replica is no longer in the topology, but a reply is still owed.
    package let shard: Int?
    package let state: ReplicaHealth.State
    package let isGone: Bool
    package let inFlight: Int
    /// Heavy reads among them.
    package let heavyInFlight: Int
    /// Says for how many nanoseconds the oldest reply to a read or an event has been owed; 0 when none is.
    package let oldestOwed: UInt64
    package let replies: UInt64
    /// Counts requests that were not answered in time, were lost or could not be served.
    package let failures: UInt64
    /// Latency of recent reads, in nanoseconds.
    package let p50: UInt64?
    package let p99: UInt64?
}
