/// Sets how the router treats replicas that are slow, silent or gone. Times are in nanoseconds.
package struct RouterSettings: Sendable, Equatable {
    /// A request may take so long in all, counted from when the router had it.
    package var readDeadline: UInt64 = 250 * Self.millisecond
    package var eventDeadline: UInt64 = 1_000 * Self.millisecond
    package var heavyDeadline: UInt64 = 10_000 * Self.millisecond

    /// A read above so many microseconds by `ReadCost` is heavy. A client's reads above `clientCost` that are under way
    /// count together, so that many of middle cost are heavy as well.
    package var heavyCost = 5_000
    package static let clientCost = 1_000
    /// Heavy reads that a replica may owe at a time, and those that may wait for a shard.
    package var heavyInFlight = 2
    package var heavyQueue = 1_024

    /// Holds the time between two PINGs of a replica; one that is not answered by the next is missed.
    package var pingInterval: UInt64 = 250 * Self.millisecond
    /// So many missed PINGs in a row eject a replica.
    package var missesToEject = 3
    /// Answered PINGs in a row until it is taken back.
    package var hitsToReturn = 2

    /// So many failures in a row, of whatever requests, which have lasted so long without one success, eject a replica
    /// that answers PINGs all the same.
    package var failuresToEject = 5
    package var failureSpan: UInt64 = 750 * Self.millisecond
    /// The replica then stays out at least so long. The time doubles with each failure that follows, up to the limit.
    package var failureHold: UInt64 = 1_000 * Self.millisecond
    package var failureHoldLimit: UInt64 = 30_000 * Self.millisecond

    /// A replica that was taken back gets a share of requests that grows to its full one in so long.
    package var slowStart: UInt64 = 5_000 * Self.millisecond
    /// Where nobody listens, the wait between two PINGs is doubled up to so many times.
    package var pingDoublings = 3
    /// Where no replica of a shard listens, one request in so long tries to connect all the same.
    package var knockInterval: UInt64 = 25 * Self.millisecond

    /// The first is the number of second attempts per thousand requests, the next the reserve that a quiet router
    /// starts with. The last says how many may be saved up, which is what a burst of lost connections can spend.
    package var retriesPerThousand = 200
    package var retryReserve = 10
    package var retryBurst = 4_096

    /// Reads sent to a second replica when the first is slower than 95 % of reads of that shard have been.
    package var isHedging = true
    package var hedgesPerThousand = 50
    package var hedgeBurst = 64
    /// A hedge is never sent sooner than this, however fast the shard is.
    package var hedgeFloor: UInt64 = 1 * Self.millisecond

    /// So many events per thousand changes may be asked of another replica because one does not know their item.
    package var opinionsPerThousand = 500

    /// Attempts of one request in all: 1 to 4, as `PendingRequest` has room for no more.
    package var attempts = 3

    /// Replies that one replica may owe at a time, those nobody waits for any more among them.
    package var inFlightPerReplica = 4_096
    /// A replica that has owed a reply to a read (or an event) for this long, and owes at least so many of them, gets no more:
    /// OVERLOADED. From half the time on it counts as slow, and another replica is taken first.
    package var readQueueAge: UInt64 = 200 * Self.millisecond
    package var eventQueueAge: UInt64 = 800 * Self.millisecond
    package var queueDepth = 64
    /// A reply that has been owed for so long will not come: the replica's connections are made anew.
    package var replyLimit: UInt64 = 5_000 * Self.millisecond
    /// After a replica said that it cannot serve reads (or events) now, the others are asked first for so long.
    package var refusalMemory: UInt64 = 250 * Self.millisecond

    /// The clocks of routers, shards and the log may be so far apart, at most an eighth of `eventDeadline`. A change
    /// carries its end, and by all clocks that has passed before it is sent again or its client is answered.
    package var clockBound: UInt64 = 100 * Self.millisecond

    package static let millisecond: UInt64 = 1_000_000

    package init() {}

    package func deadline(of kind: RequestKind) -> UInt64 {
        switch kind {
        case .read: self.readDeadline
        case .heavyRead: self.heavyDeadline
        case .event, .idempotentEvent: self.eventDeadline
        }
    }

    /// Heavy reads are bounded by their cap: the time they wait in a queue tells nothing.
    func queueAge(of kind: RequestKind) -> UInt64 {
        switch kind {
        case .read: self.readQueueAge
        case .heavyRead: .max
        case .event, .idempotentEvent: self.eventQueueAge
        }
    }

    /// Returns how many attempts one request may take.
    func attempts(of kind: RequestKind) -> Int {
        // A heavy read that ends a replica must not end them all.
        kind == .heavyRead ? min(2, self.attempts) : self.attempts
    }

    /// Returns the same with every value brought into the range in which the machine keeps its promises.
    var checked: RouterSettings {
        var copy = self
        copy.pingInterval = min(max(1, self.pingInterval), 1 << 48)
        copy.pingDoublings = min(max(0, self.pingDoublings), 8)
        copy.missesToEject = max(1, self.missesToEject)
        copy.hitsToReturn = max(1, self.hitsToReturn)
        copy.failuresToEject = max(1, self.failuresToEject)
        copy.attempts = min(max(1, self.attempts), 4)
        copy.inFlightPerReplica = min(max(1, self.inFlightPerReplica), 1 << 20)
        copy.heavyInFlight = min(max(1, self.heavyInFlight), 1 << 20)
        copy.heavyQueue = min(max(1, self.heavyQueue), 1 << 20)
        copy.clockBound = min(self.clockBound, self.eventDeadline / 8)
        return copy
    }
}

/// Sums of times that come from outside stop at the end instead of trapping.
extension UInt64 {
    func saturatingAdd(_ other: UInt64) -> UInt64 {
        let (sum, isOver) = self.addingReportingOverflow(other)
        return isOver ? .max : sum
    }

    /// 0 where `other` is later.
    func since(_ other: UInt64) -> UInt64 { self > other ? self - other : 0 }
}
