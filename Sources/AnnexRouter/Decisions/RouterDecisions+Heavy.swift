import AnnexCore

/// Heavy reads: few at a time at each replica, in fair turns of the clients; the others wait.
extension RouterDecisions {
    /// Sends a heavy read where there is room for it; else it waits, where there is room to wait.
    mutating func beginHeavy(_ request: PendingRequest, _ now: UInt64) -> Decision {
        let choice = self.choose(for: request, now)
        let shard = self.shardToWaitFor(request)
        switch choice {
        case .none(.overloaded):
            guard shard >= 0, self.makeRoom(in: shard, for: request.client) else {
                self.counters.heavyRefusals += 1
                return self.refuse(.overloaded)
            }
        case .none(let failure): return self.refuse(failure)
        case .replica: break
        }
        self.counters.requests += 1
        self.counters.heavyReads += 1
        self.retryBudget.payIn()
        let (index, generation) = self.requests.insert(request)
        self.timers.set(index, to: request.nextWake, &self.requests)
        if case .replica(let replica, _) = choice { return .send(self.send(index, to: replica, .first, now)) }
        self.counters.heavyWaits += 1
        self.wait(index, first: false)
        self.endDisplaced()
        return .wait(RequestID(index: index, generation: generation))
    }

    /// Returns the shard whose queue it waits in: that of its slot, or the shortest where any shard will do.
    private func shardToWaitFor(_ request: borrowing PendingRequest) -> Int {
        guard request.slot < 0 else { return self.topology.shard(of: Int(request.slot)) ?? -1 }
        return self.waiting.indices.min { self.waiting[$0].count < self.waiting[$1].count } ?? -1
    }

    /// Returns false where the queue is full and nobody in it has more there than the client that comes.
    private mutating func makeRoom(in shard: Int, for client: UInt64) -> Bool {
        guard self.waiting[shard].count >= self.settings.heavyQueue else { return true }
        guard let loser = self.waiting[shard].loser(to: client) else { return false }
        self.stopWaiting(loser)
        self.displaced = loser
        return true
    }

    /// Ends the request that had to make room. It must not be called before who comes has a row of its own, as the next
    /// one gets this row.
    private mutating func endDisplaced() {
        guard let loser = self.displaced else { return }
        self.displaced = nil
        self.counters.heavyRefusals += 1
        self.counters.failures += 1
        self.actions.append(.fail(self.id(loser), .overloaded))
        self.end(loser)
    }

    mutating func wait(_ index: Int32, first: Bool) {
        let shard = self.shardToWaitFor(self.requests[index])
        guard shard >= 0 else { return }
        self.requests[index].waitsFor = Int32(shard)
        self.waiting[shard].add(index, first: first, &self.requests)
    }

    mutating func stopWaiting(_ index: Int32) {
        guard self.requests[index].line >= 0 else { return }
        self.waiting[Int(self.requests[index].waitsFor)].remove(index, &self.requests)
    }

    /// Sends heavy reads that wait for a shard, as far as there is room for them.
    mutating func serveWaiting(_ shard: Int, _ now: UInt64) {
        while let index = self.waiting[shard].next {
            let choice = self.choose(for: self.requests[index], now)
            if case .none(.overloaded) = choice { return }
            _ = self.waiting[shard].takeNext(&self.requests)
            switch choice {
            case .replica(let replica, _):
                let reason: Dispatch.Reason = self.requests[index].sent == 0 ? .first : .retry
                self.actions.append(.send(self.send(index, to: replica, reason, now)))
            case .none(let failure):
                self.counters.failures += 1
                self.actions.append(.fail(self.id(index), failure))
                self.end(index)
            }
        }
    }

    /// Heavy reads that a replica owes which has been left out are asked of another one, once; whichever answers first counts.
    mutating func moveHeavyReads(of replica: Int, _ now: UInt64) {
        guard self.replicas[replica].health.state == .ejected else { return }
        var row = self.replicas[replica].queues[OwedQueue.heavy].oldest
        while row >= 0 {
            let (index, after) = (self.owed[row].request, self.owed[row].after)
            row = after
            guard index >= 0, self.requests[index].underWay == 1, self.requests[index].line < 0 else { continue }
            guard self.retryBudget.affordsOne else { return }
            if case .sent(let dispatch) = self.retry(index, again: false, now) { self.actions.append(.send(dispatch)) }
        }
    }

    /// Queues the reads that wait once more, by another topology, in the order of turns. O(requests that wait).
    mutating func queueAnew(shards: Int) {
        var moved: [Int32] = []
        for shard in self.waiting.indices {
            while let index = self.waiting[shard].takeNext(&self.requests) { moved.append(index) }
        }
        self.waiting = Array(repeating: WaitingReads(), count: shards)
        for index in moved { self.wait(index, first: false) }
        for index in moved where self.requests[index].line < 0 {
            self.counters.failures += 1
            self.actions.append(.fail(self.id(index), .unowned))
            self.end(index)
        }
    }
}
