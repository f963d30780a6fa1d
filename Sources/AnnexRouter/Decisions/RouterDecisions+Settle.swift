extension RouterDecisions {
    /// Decides what a reply means, or the end of an attempt without one.
    ///
    /// - Parameters:
    ///   - redirect: with `.moved`, the replica that the reply names, if it is known.
    /// - Returns: `.drop` as well for an attempt that was settled before.
    package mutating func settle(
        _ attempt: AttemptID,
        _ outcome: Outcome,
        redirect: Int? = nil,
        now: UInt64
    ) -> Verdict {
        guard self.owed.holds(attempt.index, attempt.generation) else { return .drop }
        let reply = self.owed[attempt.index]
        let shard = self.replicas[Int(reply.replica)].shard
        self.release(attempt.index)
        self.learn(reply, outcome, now)
        let verdict = self.verdict(on: reply, attempt, outcome, redirect, now)
        if reply.kind == .heavyRead, shard >= 0 { self.serveWaiting(shard, now) }
        return verdict
    }

    private mutating func verdict(
        on reply: OwedReply,
        _ attempt: AttemptID,
        _ outcome: Outcome,
        _ redirect: Int?,
        _ now: UInt64
    ) -> Verdict {
        let index = reply.request
        guard index >= 0 else {
            self.counters.lateReplies += 1
            return .drop
        }
        self.requests[index].attempts[reply.ordinal] = -1
        self.requests[index].underWay -= 1

        if self.requests[index].isKept { return self.settleBehindKept(index, reply, outcome, now) }
        switch outcome {
        case .answered where self.mayBeCarriedOut(index, behind: reply.ordinal, now):
            self.requests[index].isKept = true
            self.requests[index].nudgeAt = .max
            return .keep(self.id(index))
        case .answered: return self.deliver(index)
        case .unknownItem: return self.askAnother(index, now)
        case .moved: return self.follow(index, to: redirect, now)
        case .unavailable, .overloaded: return self.elsewhere(index, hasReply: true, again: false, now)
        case .unsent: return self.elsewhere(index, hasReply: false, again: true, now)
        case .stale:
            guard self.requests[index].underWay == 0, self.requests[index].line < 0 else { return .drop }
            switch self.retry(index, again: false, now) {
            case .sent(let dispatch): return .resend(dispatch)
            case .waits: return .drop
            case .no: return self.fail(index, .timedOut)
            }
        case .timedOut, .lost:
            // An `.event` that may have been stored is not sent again.
            let kind = self.requests[index].kind
            if !kind.isRead { self.noteMaybeStored(index, reply) }
            let hasReply = outcome == .timedOut
            // The shard knew the deadline, or its queue was too long for its patience.
            if kind == .heavyRead, hasReply { return self.deliver(index) }
            if kind == .event {
                return hasReply ? self.deliver(index) : self.fail(index, .lostMaybeStored)
            }
            return self.elsewhere(index, hasReply: hasReply, again: !hasReply, now)
        }
    }

    /// Another attempt ended while a reply is kept. One whose end is not known is waited for until the request's deadline,
    /// when it is over in any case.
    private mutating func settleBehindKept(
        _ index: Int32,
        _ reply: OwedReply,
        _ outcome: Outcome,
        _ now: UInt64
    ) -> Verdict {
        if outcome == .timedOut || outcome == .lost { self.noteMaybeStored(index, reply) }
        if self.mayBeCarriedOut(index, behind: reply.ordinal, now) { return .drop }
        let request = self.id(index)
        self.end(index)
        return .deliverKept(request)
    }

    private mutating func noteMaybeStored(_ index: Int32, _ reply: OwedReply) {
        self.requests[index].isMaybeStored = true
        let end = reply.expiresAt.saturatingAdd(self.settings.clockBound)
        self.requests[index].aliveUntil = max(self.requests[index].aliveUntil, end)
    }

    private mutating func deliver(_ index: Int32) -> Verdict {
        let request = self.id(index)
        self.end(index)
        return .deliver(request)
    }

    private mutating func fail(_ index: Int32, _ failure: Failure) -> Verdict {
        let request = self.id(index)
        self.counters.failures += 1
        self.end(index)
        return .fail(request, failure)
    }

    /// Goes on where an attempt came to nothing: waits for another one that is under way, makes one, or ends the
    /// request with the reply that there is.
    private mutating func elsewhere(_ index: Int32, hasReply: Bool, again: Bool, _ now: UInt64) -> Verdict {
        // Another attempt waits until that one is over by all clocks.
        if self.requests[index].aliveUntil > now, self.requests[index].kind == .idempotentEvent {
            self.requests[index].nudgeAt = self.requests[index].aliveUntil
            self.timers.clear(index, &self.requests)
            self.timers.set(index, to: self.requests[index].nextWake, &self.requests)
            return .drop
        }
        guard self.requests[index].underWay == 0, self.requests[index].line < 0 else { return .drop }
        switch self.retry(index, again: again, now) {
        case .sent(let dispatch): return .resend(dispatch)
        case .waits: return .drop
        case .no: return self.conclude(index, hasReply: hasReply)
        }
    }

    /// Nothing was done, as the replica's version has no such item. While a newer version is brought out replica by replica, another
    /// one may have it: it is asked once, out of a budget of its own, so that clients who send wrong ids use up nothing else.
    private mutating func askAnother(_ index: Int32, _ now: UInt64) -> Verdict {
        guard !self.requests[index].hasSecondOpinion, now < self.requests[index].deadline,
            self.requests[index].sent < self.settings.attempts, self.requests[index].underWay == 0,
            self.requests[index].aliveUntil <= now,
            case .replica(let replica, let rank) = self.choose(for: self.requests[index], now), rank <= 1,
            self.opinionBudget.takeOne()
        else { return self.conclude(index, hasReply: true) }
        self.requests[index].hasSecondOpinion = true
        self.counters.secondOpinions += 1
        return .resend(self.send(index, to: replica, .retry, now))
    }

    private mutating func conclude(_ index: Int32, hasReply: Bool) -> Verdict {
        if self.requests[index].underWay > 0 { return .drop }
        if self.requests[index].isMaybeStored { return self.fail(index, .lostMaybeStored) }
        return hasReply ? self.deliver(index) : self.fail(index, .shardDown)
    }

    enum Retry {
        case sent(Dispatch)
        /// A heavy read that will be sent when there is room for it.
        case waits
        case no
    }

    /// Makes a second attempt, if there is time, a replica, and the budget affords it. What may not be repeated is for
    /// the caller to know.
    mutating func retry(_ index: Int32, again: Bool, _ now: UInt64) -> Retry {
        let kind = self.requests[index].kind
        let margin = kind.isRead ? 0 : 2 * self.settings.clockBound
        guard self.requests[index].sent < self.settings.attempts(of: kind),
            now.saturatingAdd(margin) < self.requests[index].deadline
        else { return .no }
        let choice = self.choose(for: self.requests[index], again: again, now)
        if case .none(let failure) = choice, kind != .heavyRead || failure != .overloaded { return .no }
        if case .replica(let replica, _) = choice, self.replicas[replica].health.isGone {
            return .sent(self.send(index, to: replica, .knock, now))
        }
        guard self.retryBudget.takeOne() else {
            self.counters.unaffordable += 1
            return .no
        }
        self.counters.retries += 1
        guard case .replica(let replica, _) = choice else {
            self.wait(index, first: true)
            return .waits
        }
        return .sent(self.send(index, to: replica, .retry, now))
    }

    /// Sends a request again after `MOVED`, which means that nothing was done. It goes where the reply says, and counts
    /// in the retry budget, as a topology that stays wrong would double the load.
    private mutating func follow(_ index: Int32, to replica: Int?, _ now: UInt64) -> Verdict {
        if now >= self.nextStaleNotice {
            self.nextStaleNotice = now.saturatingAdd(1_000 * RouterSettings.millisecond)
            self.actions.append(.topologyIsStale)
        }
        guard let replica, self.replicas.indices.contains(replica), self.replicas[replica].shard >= 0,
            !self.replicas[replica].health.isGone, !self.requests[index].hasTried(replica),
            self.replicas[replica].inFlight < self.settings.inFlightPerReplica,
            self.requests[index].sent < self.settings.attempts(of: self.requests[index].kind),
            now < self.requests[index].deadline, self.requests[index].aliveUntil <= now, self.retryBudget.takeOne()
        else { return self.conclude(index, hasReply: true) }
        self.counters.redirects += 1
        return .resend(self.send(index, to: replica, .redirect, now))
    }

    /// Takes down what an outcome tells of its replica.
    private mutating func learn(_ reply: OwedReply, _ outcome: Outcome, _ now: UInt64) {
        let replica = Int(reply.replica)
        let memory = now.saturatingAdd(self.settings.refusalMemory)
        if self.replicas[replica].health.isGone, outcome != .lost, outcome != .unsent { self.pingSoon(replica, now) }
        guard reply.kind != .heavyRead else { return self.learnOfHeavy(reply, outcome, memory) }
        switch outcome {
        case .answered, .moved, .unknownItem:
            let taken = now.since(reply.sentAt)
            if reply.kind == .read { self.replicas[replica].latency.add(taken) }
            self.replicas[replica].replies += 1
            // A reply that comes after its deadline proves nothing good.
            if taken <= self.settings.deadline(of: reply.kind) { self.note(replica, .success, now) }
        case .overloaded:
            self.avoid(replica, reply.kind, until: memory)
        case .stale:
            self.avoid(replica, reply.kind, until: memory)
        case .unavailable:
            self.replicas[replica].failures += 1
            self.avoid(replica, reply.kind, until: memory)
            // A replica that is cut off from the log refuses events and serves reads.
            if reply.kind == .read { self.note(replica, .failure, now) }
        case .timedOut, .unsent:
            self.replicas[replica].failures += 1
            self.note(replica, .failure, now)
        case .lost:
            // `lost(_:now:)` tells of the connection, once.
            self.replicas[replica].failures += 1
        }
    }

    /// One that was thought gone has replied: it may be asked, and a PING soon tells how it is.
    private mutating func pingSoon(_ replica: Int, _ now: UInt64) {
        self.replicas[replica].nextKnock = now
        self.replicas[replica].goneInRow = 0
        guard !self.replicas[replica].isPingOwed else { return }
        let soon = now.saturatingAdd(self.settings.knockInterval)
        self.replicas[replica].nextPing = min(self.replicas[replica].nextPing, soon)
    }

    /// Whatever becomes of a heavy read, it says nothing about the replica's health: PINGs and other requests do. Others are
    /// asked first for a while where it was refused.
    private mutating func learnOfHeavy(_ reply: OwedReply, _ outcome: Outcome, _ memory: UInt64) {
        let replica = Int(reply.replica)
        switch outcome {
        case .answered, .moved, .unknownItem: self.replicas[replica].replies += 1
        case .overloaded, .stale, .unavailable, .timedOut, .lost, .unsent:
            self.avoid(replica, .heavyRead, until: memory)
        }
    }

    private mutating func avoid(_ replica: Int, _ kind: RequestKind, until end: UInt64) {
        self.replicas[replica].avoidUntil[OwedQueue.of(kind)] = end
    }
}
