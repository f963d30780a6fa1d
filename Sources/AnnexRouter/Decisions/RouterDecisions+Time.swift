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
        }
        if now >= self.nextRefresh {
            self.nextRefresh = now.saturatingAdd(Self.refreshInterval)
            self.refreshHedgeDelays()
        }
    }

    /// A request whose time has come. It has been taken off the timers.
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
        if self.fault == .forgetsDeadlines { return }
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
        let isRead = self.requests[index].kind == .read
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
        if let dispatch = self.retry(index, again: isLost, now) {
            self.actions.append(.send(dispatch))
        } else if isLost {
            self.counters.failures += 1
            self.actions.append(.fail(self.id(index), .lostMaybeStored))
            self.end(index)
        }
    }

    /// The replicas that have not answered in time, leaving aside those that were only just asked, and clients that are in a
    /// great hurry.
    private mutating func blame(_ index: Int32, _ now: UInt64) {
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
        // Up to an eighth sooner, so that many routers do not ask at the same time.
        let early = UInt64(self.draw(below: Int(clamping: self.settings.pingInterval / 8)))
        self.replicas[replica].nextPing = now.saturatingAdd(self.settings.pingInterval - early)
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

    private mutating func resetIfStuck(_ replica: Int, _ now: UInt64) {
        let limit = self.settings.replyLimit
        guard self.age(of: replica, now) > limit, now.since(self.replicas[replica].lastReset) > limit else { return }
        self.replicas[replica].lastReset = now
        self.actions.append(.reset(replica: replica))
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
