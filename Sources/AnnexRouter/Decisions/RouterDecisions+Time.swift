extension RouterDecisions {
    private static let refreshInterval: UInt64 = 100 * RouterSettings.millisecond
    /// Reads that a shard must have answered before its 95th percentile means anything.
    private static let hedgeSamples = 64

    /// Looks after everything that time brings: deadlines, second attempts, PINGs, connections that are stuck. To be called
    /// every few milliseconds; then take the actions. O(replicas + what is due).
    package mutating func tick(now: UInt64) {
        self.timers.advance(to: now, &self.requests, due: &self.due)
        for index in self.due { self.wake(index, now) }
        self.due.removeAll(keepingCapacity: true)
        for replica in self.replicas.indices {
            if self.replicas[replica].shard >= 0, now >= self.replicas[replica].nextPing { self.ping(replica, now) }
            self.resetIfStuck(replica, now)
            self.moveHeavyReads(of: replica, now)
        }
        for shard in self.waiting.indices where !self.waiting[shard].isEmpty { self.serveWaiting(shard, now) }
        if now >= self.nextRefresh {
            self.nextRefresh = now.saturatingAdd(Self.refreshInterval)
            self.refreshHedgeDelays()
        }
    }

    /// Looks after a request whose time has come. It has been taken off the timers.
    private mutating func wake(_ index: Int32, _ now: UInt64) {
        self.timers.set(index, to: .max, &self.requests)
        if now >= self.requests[index].deadline { return self.timeOut(index, now) }
        if now >= self.requests[index].hedgeAt {
            self.requests[index].hedgeAt = .max
            self.hedge(index, now)
        }
        if now >= self.requests[index].nudgeAt {
            self.requests[index].nudgeAt = .max
            let generation = self.requests.generation(index)
            self.nudge(index, now)
            guard self.requests.holds(index, generation) else { return }
        }
        self.timers.clear(index, &self.requests)
        self.timers.set(index, to: self.requests[index].nextWake, &self.requests)
    }

    private mutating func timeOut(_ index: Int32, _ now: UInt64) {
        self.blame(index, now)
        if self.requests[index].isKept {
            self.actions.append(.deliverKept(self.id(index)))
            return self.end(index)
        }
        self.counters.timeouts += 1
        let isRead = self.requests[index].kind.isRead
        self.actions.append(.fail(self.id(index), isRead ? .timedOut : .timedOutMaybeStored))
        self.end(index)
    }

    /// A read that is slower than most is sent to a second replica, if that is a good one. The first reply wins.
    private mutating func hedge(_ index: Int32, _ now: UInt64) {
        guard self.requests[index].sent == 1, self.settings.attempts > 1,
            case .replica(let replica, let rank) = self.choose(for: self.requests[index], now), rank <= 1
        else { return }
        guard self.hedgeBudget.takeOne() else {
            self.counters.unaffordable += 1
            return
        }
        self.counters.hedges += 1
        self.actions.append(.send(self.send(index, to: replica, .hedge, now)))
    }

    /// Half the time has passed: asks another replica while there is time, and still takes the first one's reply. Of a change
    /// the first can then not be carried out any more.
    private mutating func nudge(_ index: Int32, _ now: UInt64) {
        self.blame(index, now)
        let isLost = self.requests[index].underWay == 0
        if case .sent(let dispatch) = self.retry(index, again: isLost, now) {
            self.actions.append(.send(dispatch))
        } else if isLost {
            self.counters.failures += 1
            self.actions.append(.fail(self.id(index), .lostMaybeStored))
            self.end(index)
        }
    }

    /// Notes a failure of the replicas that have not answered in time, leaving aside those that were only just asked,
    /// and clients that are in a great hurry.
    private mutating func blame(_ index: Int32, _ now: UInt64) {
        guard self.requests[index].kind != .heavyRead else { return }
        let slow = self.settings.queueAge(of: self.requests[index].kind) / 2
        for attempt in 0..<self.requests[index].sent {
            let row = self.requests[index].attempts[attempt]
            guard row >= 0, now.since(self.owed[row].sentAt) >= slow else { continue }
            let replica = Int(self.requests[index].tried[attempt])
            self.replicas[replica].failures += 1
            self.note(replica, .failure, now)
        }
    }

    private mutating func ping(_ replica: Int, _ now: UInt64) {
        self.replicas[replica].nextPing = now.saturatingAdd(self.pingWait(replica))
        var isFresh = self.replicas[replica].health.isGone
        if self.replicas[replica].isPingOwed {
            self.note(replica, .missed, now)
            self.replicas[replica].silentPings += 1
            guard self.replicas[replica].silentPings >= self.settings.missesToEject else { return }
            isFresh = true
        }
        self.replicas[replica].silentPings = 0
        self.replicas[replica].isPingOwed = true
        self.actions.append(.ping(replica: replica, fresh: isFresh))
    }

    /// Returns how long to wait for the next PING: up to an eighth less than the setting, so that many routers do not
    /// ask at the same time. Where nobody listens it doubles, and is up to a half shorter, so that they do not all come
    /// when it listens again.
    private mutating func pingWait(_ replica: Int) -> UInt64 {
        let doublings = min(max(0, self.replicas[replica].goneInRow - 1), self.settings.pingDoublings)
        let wait = self.settings.pingInterval << UInt64(doublings)
        return wait - UInt64(self.draw(below: Int(clamping: wait / (doublings == 0 ? 8 : 2))))
    }

    private mutating func resetIfStuck(_ replica: Int, _ now: UInt64) {
        let limit = self.settings.replyLimit
        if self.age(of: replica, now) > limit, now.since(self.replicas[replica].lastReset) > limit {
            self.replicas[replica].lastReset = now
            self.actions.append(.reset(replica: replica))
        }
        let heavyLimit = limit.saturatingAdd(self.settings.heavyDeadline)
        let oldest = self.replicas[replica].queues[OwedQueue.heavy].oldestSentAt
        if now.since(oldest) > heavyLimit, now.since(self.replicas[replica].lastHeavyReset) > heavyLimit {
            self.replicas[replica].lastHeavyReset = now
            self.actions.append(.resetHeavy(replica: replica))
        }
    }

    private mutating func refreshHedgeDelays() {
        for shard in self.members.indices {
            self.scratch.clear()
            for replica in self.members[shard] {
                self.replicas[replica].latency.fade()
                self.scratch.add(self.replicas[replica].latency)
            }
            guard self.scratch.total >= Self.hedgeSamples, let p95 = self.scratch.quantile(0.95) else {
                self.hedgeDelays[shard] = .max
                continue
            }
            self.hedgeDelays[shard] = max(p95, self.settings.hedgeFloor)
        }
    }
}
