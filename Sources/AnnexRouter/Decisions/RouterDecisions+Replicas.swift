package import AnnexCore

extension RouterDecisions {
    // MARK: - Health

    /// The PING that was asked for has been answered.
    package mutating func pong(_ replica: Int, now: UInt64) {
        guard self.isKnown(replica) else { return }
        self.replicas[replica].isPingOwed = false
        self.replicas[replica].silentPings = 0
        self.replicas[replica].goneInRow = 0
        self.note(replica, .pong, now)
    }

    /// The health connection ended, or could not be made.
    package mutating func gone(_ replica: Int, now: UInt64) {
        guard self.isKnown(replica) else { return }
        self.replicas[replica].isPingOwed = false
        self.replicas[replica].silentPings = 0
        self.replicas[replica].goneInRow += 1
        self.note(replica, .gone, now)
    }

    /// A connection that carries requests ended. Its attempts are to be settled as well, each.
    package mutating func lost(_ replica: Int, now: UInt64) {
        guard self.isKnown(replica) else { return }
        self.note(replica, .lost, now)
    }

    private func isKnown(_ replica: Int) -> Bool {
        self.replicas.indices.contains(replica) && self.replicas[replica].shard >= 0
    }

    mutating func note(_ replica: Int, _ event: ReplicaHealth.Event, _ now: UInt64) {
        guard let change = self.replicas[replica].health.apply(event, now: now, self.settings),
            self.replicas[replica].shard >= 0
        else { return }
        if change.to == .ejected { self.replicas[replica].wasOut = true }
        if change.to == .healthy, self.replicas[replica].wasOut {
            self.replicas[replica].wasOut = false
            self.replicas[replica].warmUntil = now.saturatingAdd(self.settings.slowStart)
        }
        self.actions.append(.health(replica: replica, change))
    }

    // MARK: - Topology

    /// Takes another topology. Replicas that stay keep their number, their health and what they owe; those that go get nothing
    /// new, and `.retired` tells when their last reply has come. Requests under way end as they would have; where they are sent
    /// again, it is by the new topology.
    package mutating func adopt(_ topology: ClusterTopology, now: UInt64) {
        var numbers: [ClusterTopology.Address: Int] = [:]
        let before = self.replicas.indices.filter { self.replicas[$0].shard >= 0 }
        // One that left and still owes a reply may come back.
        for replica in self.replicas.indices
        where self.replicas[replica].shard >= 0 || self.replicas[replica].inFlight > 0 {
            numbers[self.replicas[replica].address] = replica
            self.replicas[replica].shard = -1
        }
        self.members = topology.shards.indices.map { shard in
            topology.shards[shard].replicas.map { address in
                let replica = numbers[address] ?? self.makeReplica(address, now)
                numbers[address] = replica
                self.replicas[replica].shard = shard
                return replica
            }
        }
        self.topology = topology
        self.hedgeDelays = [UInt64](repeating: .max, count: topology.shards.count)
        self.queueAnew(shards: topology.shards.count)
        self.nextRefresh = now
        for replica in before where self.replicas[replica].shard < 0 && self.replicas[replica].inFlight == 0 {
            self.retire(replica)
        }
    }

    private mutating func makeReplica(_ address: ClusterTopology.Address, _ now: UInt64) -> Int {
        let replica = KnownReplica(address, shard: 0, now: now)
        if let free = self.freePlaces.popLast() {
            self.replicas[free] = replica
            return free
        }
        self.replicas.append(replica)
        return self.replicas.count - 1
    }

    mutating func retire(_ replica: Int) {
        self.freePlaces.append(replica)
        self.actions.append(.retired(replica: replica))
    }

    // MARK: - What others ask

    /// The number of a replica of the topology. O(replicas): not for each request.
    package func replica(at address: ClusterTopology.Address) -> Int? {
        self.replicas.firstIndex { $0.shard >= 0 && $0.address == address }
    }

    package func address(of replica: Int) -> ClusterTopology.Address { self.replicas[replica].address }

    /// The numbers of a shard's replicas, in the order of the topology.
    package func replicas(of shard: Int) -> [Int] { self.members[shard] }

    /// Replies that a replica owes, those nobody waits for among them.
    package func owed(by replica: Int) -> Int { self.replicas[replica].inFlight }

    package func health(of replica: Int) -> ReplicaHealth { self.replicas[replica].health }

    /// O(1), but with quantiles: for people who ask, not for each request.
    package func status(of replica: Int, now: UInt64) -> ReplicaStatus {
        let known = self.replicas[replica]
        return ReplicaStatus(
            address: known.address,
            shard: known.shard >= 0 ? known.shard : nil,
            state: known.health.state,
            isGone: known.health.isGone,
            inFlight: known.inFlight,
            heavyInFlight: known.queues[OwedQueue.heavy].count,
            oldestOwed: self.age(of: replica, now),
            replies: known.replies,
            failures: known.failures,
            p50: known.latency.quantile(0.5),
            p99: known.latency.quantile(0.99)
        )
    }
}
