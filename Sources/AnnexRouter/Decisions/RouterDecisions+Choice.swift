import AnnexCore

extension RouterDecisions {
    enum Choice {
        /// A lower rank is better; see `rank`.
        case replica(Int, rank: Int)
        case none(Failure)
    }

    /// The ranks are, from 0: healthy and quick; healthy; has said that it cannot; was never heard of; out, but so are
    /// all of its shard.
    private static let worstRank = 4
    /// A replica that was asked already ranks so much worse.
    private static let again = 5

    /// Chooses the replica to ask, among those of the slot's shard that were not asked yet; those that were only where
    /// `again` says so and there is no other.
    ///
    /// Among those of the best rank it is the one that owes the fewest replies, by chance where several do: what one
    /// router has in flight it knows exactly, so all are compared instead of two drawn ones.
    mutating func choose(
        for request: borrowing PendingRequest,
        prefer: Int? = nil,
        again: Bool = false,
        _ now: UInt64
    ) -> Choice {
        if request.slot >= 0 {
            guard request.slot < Slot.count, let shard = self.topology.shard(of: Int(request.slot)) else {
                return .none(.unowned)
            }
            return self.choose(in: shard, for: request, prefer: prefer, again: again, now)
        }
        var failure = Failure.unowned
        var lastResort: Choice?
        let first = self.draw(below: self.members.count)
        for step in 0..<self.members.count {
            let shard = (first + step) % self.members.count
            let choice = self.choose(in: shard, for: request, prefer: prefer, again: again, now)
            switch choice {
            case .replica(_, let rank) where rank < Self.worstRank: return choice
            case .replica: lastResort = lastResort ?? choice
            case .none(let reason): failure = failure == .overloaded ? failure : reason
            }
        }
        // Who may wait for a replica that runs does not knock where nobody listened.
        if failure == .overloaded, case .replica(let replica, _) = lastResort, self.replicas[replica].health.isGone {
            return .none(.overloaded)
        }
        return lastResort ?? .none(failure)
    }

    private mutating func choose(
        in shard: Int,
        for request: borrowing PendingRequest,
        prefer: Int?,
        again: Bool,
        _ now: UInt64
    ) -> Choice {
        let count = self.members[shard].count
        let first = self.draw(below: count)
        var best = -1
        var bestRank = Int.max
        var bestOwed = Int.max
        var isCrowded = false
        for step in 0..<count {
            let position = first + step
            let replica = self.members[shard][position < count ? position : position - count]
            guard var rank = self.rank(of: replica, request.kind, now) else { continue }
            if rank == 0, self.replicas[replica].warmUntil > now, !self.takesShare(replica, now) { rank = 1 }
            if request.hasTried(replica) {
                guard again else { continue }
                rank += Self.again
            }
            if self.isCrowded(replica, request.kind, now) {
                isCrowded = true
                continue
            }
            if replica == prefer, !request.kind.isRead { return .replica(replica, rank: rank) }
            let owed = replica == prefer ? -1 : self.owed(by: replica, request.kind)
            if rank < bestRank || (rank == bestRank && owed < bestOwed) {
                (best, bestRank, bestOwed) = (replica, rank, owed)
            }
        }
        if best >= 0 { return .replica(best, rank: bestRank) }
        if isCrowded { return .none(.overloaded) }
        return self.chooseUnfit(in: shard, for: request, again: again, now)
    }

    /// Tells whether this request is of the share of a replica that was taken back lately, which grows from a twentieth
    /// on. Its caches are cold, and what sent it away may not be over.
    private mutating func takesShare(_ replica: Int, _ now: UInt64) -> Bool {
        let whole = Double(self.settings.slowStart)
        let share = 1 - Double(self.replicas[replica].warmUntil.since(now)) / max(1, whole)
        return Double(self.draw(below: 1_000)) < 1_000 * max(0.05, share)
    }

    /// No replica of the shard is fit: the best of those that may still answer is asked. Other shards do not count.
    ///
    /// One that answers its PINGs comes first: it was left out because requests fail, and may be mended before its hold is over. One
    /// that does not may be slow, or stand still: it is asked as long as what it owes is young, and not again until it answers
    /// or its connections are made anew, so that a shard that stands still refuses at once. The last are those that are
    /// gone: what is known of them is as old as the last attempt to connect, and one may have been started since.
    private mutating func chooseUnfit(
        in shard: Int,
        for request: borrowing PendingRequest,
        again: Bool,
        _ now: UInt64
    ) -> Choice {
        guard self.members[shard].allSatisfy({ self.replicas[$0].health.state == .ejected }) else {
            return .none(.shardDown)
        }
        var best = -1
        var bestOwed = Int.max
        var isCrowded = false
        let count = self.members[shard].count
        let first = self.draw(below: count)
        for step in 0..<count {
            let replica = self.members[shard][(first + step) % count]
            let wasTried = request.hasTried(replica)
            let isGone = self.replicas[replica].health.isGone
            guard self.mayStillAnswer(replica, now), !wasTried || (again && !isGone) else { continue }
            if self.isCrowded(replica, request.kind, now) {
                isCrowded = true
                continue
            }
            let silence = self.replicas[replica].health.answersPings ? 0 : isGone ? 2 : 1
            let owed = (wasTried ? 1 << 44 : 0) + silence << 40 + self.owed(by: replica, request.kind)
            if owed < bestOwed { (best, bestOwed) = (replica, owed) }
        }
        guard best >= 0 else { return .none(isCrowded ? .overloaded : .shardDown) }
        if isCrowded, self.replicas[best].health.isGone { return .none(.overloaded) }
        return .replica(best, rank: Self.worstRank)
    }

    /// Tells whether a replica that was left out may be asked all the same.
    ///
    /// Where nobody listened, a request tries again to connect; others join it for a moment, and the next tries after a
    /// while.
    func mayStillAnswer(_ replica: Int, _ now: UInt64) -> Bool {
        let known = self.replicas[replica]
        if known.health.answersPings { return true }
        guard known.health.isGone else { return self.age(of: replica, now) <= self.settings.readQueueAge }
        guard known.inFlight > 0 else { return now >= known.nextKnock }
        let oldest = min(known.oldestSentAt, known.queues[OwedQueue.heavy].oldestSentAt)
        return now.since(oldest) <= self.settings.knockInterval
    }

    /// Returns how good a replica is for a request: 0 is best. Returns nil where it cannot be asked.
    private func rank(of replica: Int, _ kind: RequestKind, _ now: UInt64) -> Int? {
        let avoidUntil = self.replicas[replica].avoidUntil[OwedQueue.of(kind)]
        switch self.replicas[replica].health.state {
        case .healthy:
            if avoidUntil > now { return 2 }
            return self.age(of: replica, kind, now) > self.settings.queueAge(of: kind) / 2 ? 1 : 0
        case .suspect: return avoidUntil > now ? 2 : 1
        case .probing: return 3
        case .ejected: return nil
        }
    }

    /// Returns the load by which equally good replicas are compared: for heavy reads first of all those that are under
    /// way.
    private func owed(by replica: Int, _ kind: RequestKind) -> Int {
        let all = self.replicas[replica].inFlight
        return kind == .heavyRead ? self.replicas[replica].queues[OwedQueue.heavy].count << 20 + all : all
    }

    /// Tells whether it owes as much as may be owed, or so much for so long that what is added would wait too long.
    private func isCrowded(_ replica: Int, _ kind: RequestKind, _ now: UInt64) -> Bool {
        if kind == .heavyRead,
            self.replicas[replica].queues[OwedQueue.heavy].count >= self.settings.heavyInFlight
        {
            return true
        }
        return self.replicas[replica].inFlight >= self.settings.inFlightPerReplica
            || (self.replicas[replica].queues[OwedQueue.of(kind)].count >= self.settings.queueDepth
                && self.age(of: replica, kind, now) > self.settings.queueAge(of: kind))
    }

    /// Returns how long its oldest reply has been owed: to a read, or to an event; to either.
    private func age(of replica: Int, _ kind: RequestKind, _ now: UInt64) -> UInt64 {
        now.since(self.replicas[replica].queues[OwedQueue.of(kind)].oldestSentAt)
    }

    func age(of replica: Int, _ now: UInt64) -> UInt64 { now.since(self.replicas[replica].oldestSentAt) }

    /// Draws uniformly from 0 ..< bound. Returns 0 where that is empty.
    mutating func draw(below bound: Int) -> Int {
        guard bound > 1 else { return 0 }
        return Int(truncatingIfNeeded: self.random.next().multipliedFullWidth(by: UInt64(bound)).high)
    }
}
