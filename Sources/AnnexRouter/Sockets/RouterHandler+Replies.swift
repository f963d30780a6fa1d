import AnnexClient
import AnnexCore
package import AnnexWire
import Logging
import NIOCore

/// Sends requests to replicas, takes their replies, and keeps the timers.
extension RouterHandler {
    // MARK: Out and in

    func send(_ dispatch: Dispatch) {
        let row = Int(dispatch.request.index)
        // Its client has gone since it was decided, or the router ends.
        guard !self.isStopped, self.pending[row].request == dispatch.request else {
            return self.decisions.withdraw(dispatch.attempt)
        }
        self.pending[row].expiresAt = dispatch.expiresAt
        let entry = self.pending[row]
        if entry.lane == .changes, dispatch.reason != .first {
            entry.client?.changeMoved(entry.slot, to: dispatch.replica)
        }
        let links = self.links(dispatch.replica)
        // It is asked because nobody else can be: waiting longer and longer between connections would be in the way.
        if self.decisions.health(of: dispatch.replica).isGone { links.connectAgain() }
        links.send(dispatch, entry, settings: self.shared.settings, reaches: self.reaches)
    }

    private func links(_ replica: Int) -> ReplicaLinks {
        while self.replicas.count <= replica { self.replicas.append(nil) }
        if let links = self.replicas[replica] { return links }
        let links = ReplicaLinks(
            replica,
            self.decisions.address(of: replica),
            shared: self.shared,
            loop: self.loop,
            callbacks: { [unowned self] in self.callbacks(replica, $0) },
            health: PingConnection.Callbacks(
                answered: { [unowned self] _ in self.decisions.pong(replica, now: RouterShared.now()) },
                ended: { [unowned self] in self.decisions.gone(replica, now: RouterShared.now()) }
            )
        )
        self.replicas[replica] = links
        return links
    }

    private func callbacks(_ replica: Int, _ lane: Lane) -> ReplicaLink.Callbacks {
        ReplicaLink.Callbacks(
            replied: { [unowned self] in self.replied($0, $1, $2, from: replica) },
            lost: { [unowned self] in self.carryOut(self.settle($0.attempt, $1 ? .lost : .unsent)) },
            failed: { [unowned self] in self.linkFailed(replica, lane, $0) }
        )
    }

    /// Decisions about other requests are carried out at once, before a client is answered and asks the next.
    private func settle(_ attempt: AttemptID, _ outcome: Outcome, redirect: Int? = nil) -> Verdict {
        let verdict = self.decisions.settle(attempt, outcome, redirect: redirect, now: RouterShared.now())
        if self.decisions.hasActions { self.act(later: true) }
        return verdict
    }

    /// Returns who takes the rest of a reply that is not whole.
    private func replied(
        _ owed: OwedAttempt,
        _ bytes: ByteBuffer,
        _ isWhole: Bool,
        from replica: Int
    ) -> ReplyPromise? {
        var outcome = ReplyKind.outcome(of: bytes)
        if outcome == .answered, owed.isEvent, ReplyKind.isUnknownItem(bytes) { outcome = .unknownItem }
        if owed.isStale, outcome != .moved { outcome = .stale }
        let redirect = outcome == .moved ? ReplyKind.target(of: bytes).flatMap { self.decisions.replica(at: $0) } : nil
        let verdict = self.settle(owed.attempt, outcome, redirect: redirect)
        switch verdict {
        case .deliver(let request):
            guard let entry = self.take(request, isOver: outcome != .timedOut) else { return nil }
            return self.deliver(entry, bytes, isWhole, from: replica)
        case .keep(let request): self.pending[Int(request.index)].kept = (bytes, replica)
        case .drop, .resend, .fail, .deliverKept: self.carryOut(verdict)
        }
        return nil
    }

    private func deliver(
        _ entry: PendingReply,
        _ bytes: ByteBuffer,
        _ isWhole: Bool,
        from replica: Int
    ) -> ReplyPromise? {
        if let (split, part) = entry.split {
            split.give(part, bytes)
            return nil
        }
        entry.reply?.fulfilNow(entry.finished(bytes, from: replica, reaches: self.reaches), isLast: isWhole)
        return isWhole ? nil : entry.reply
    }

    private func linkFailed(_ replica: Int, _ lane: Lane, _ reason: String) {
        // A shard may close the connection of heavy reads for what they hold.
        if lane != .heavy { self.decisions.lost(replica, now: RouterShared.now()) }
        if reason.hasPrefix(ReplicaLink.refusal) {
            return self.shared.logger.warning(
                "A replica refuses the router: see --shard-password-file",
                metadata: ["replica": "\(self.decisions.address(of: replica))", "reason": "\(reason)"]
            )
        }
        self.shared.logger.debug(
            "Connection to a replica ended",
            metadata: ["replica": "\(self.decisions.address(of: replica))", "reason": "\(reason)"]
        )
    }

    private func carryOut(_ verdict: Verdict) {
        switch verdict {
        case .deliver, .drop, .keep: break
        case .resend(let dispatch): self.send(dispatch)
        case .fail(let request, let failure):
            if let entry = self.take(request, isOver: failure.isOver) { self.fail(entry, failure) }
        case .deliverKept(let request):
            if let entry = self.take(request, isOver: true) { self.deliverKept(entry) }
        }
    }

    private func deliverKept(_ entry: PendingReply) {
        guard let (bytes, replica) = entry.kept else { return }
        _ = self.deliver(entry, bytes, true, from: replica)
    }

    // MARK: Rows

    /// Puts a row before the others of its client.
    func link(_ row: Int, to client: RouterClient) {
        self.pending[row].rowBefore = -1
        self.pending[row].rowAfter = client.firstRow
        if client.firstRow >= 0 { self.pending[client.firstRow].rowBefore = row }
        client.firstRow = row
        client.costUnderWay += self.pending[row].cost
    }

    /// Takes a request that has ended out of its row. Returns nil where its client has gone.
    ///
    /// - Parameter isOver: whether it is certain that no attempt of it can be carried out any more.
    private func take(_ request: RequestID, isOver: Bool) -> PendingReply? {
        let row = Int(request.index)
        guard self.pending[row].request == request else { return nil }
        let entry = self.pending[row]
        self.ended(entry, isOver: isOver)
        self.free(row)
        return entry
    }

    private func free(_ row: Int) {
        let (before, after) = (self.pending[row].rowBefore, self.pending[row].rowAfter)
        if let client = self.pending[row].client {
            if before >= 0 { self.pending[before].rowAfter = after } else { client.firstRow = after }
            if after >= 0 { self.pending[after].rowBefore = before }
            client.costUnderWay -= self.pending[row].cost
        }
        self.pending[row].end()
    }

    /// Gives up the reads of a client that has gone: they are not sent again, and their replies are dropped. Changes go on.
    /// O(its requests).
    package func abandon(_ connection: ConnectionState) {
        guard let client = connection.memory as? RouterClient else { return }
        var row = client.firstRow
        while row >= 0 {
            let next = self.pending[row].rowAfter
            if let request = self.pending[row].request, self.pending[row].lane != .changes {
                self.decisions.cancel(request)
                self.free(row)
            }
            row = next
        }
    }

    private func fail(_ entry: PendingReply, _ failure: Failure) {
        var writer = ReplyWriter(version: entry.version, buffer: ByteBuffer())
        self.fail(failure, entry.slot, entry.lane, &writer)
        if let (split, _) = entry.split {
            split.end(with: writer.buffer)
        } else {
            entry.reply?.fulfilNow(writer.buffer)
        }
    }

    // MARK: Time

    func tick() {
        self.decisions.tick(now: RouterShared.now())
        self.act()
        self.ticks += 1
        if self.ticks % Self.reportEvery == 0 {
            let limit = TimeAmount.nanoseconds(Int64(clamping: self.shared.settings.replyLimit))
            for links in self.replicas { links?.cutStalled(after: limit) }
        }
        if self.ticks % Self.reportEvery == 0 { self.report() }
    }

    /// - Parameter later: whoever fails is told when the loop has done what it does now, as a command is being handled.
    func act(later: Bool = false) {
        // Who is answered may ask the next at once, which may get a row that another action still names: so all are taken
        // off their rows first, and answered last.
        var failed: [(PendingReply, Failure)] = []
        var kept: [PendingReply] = []
        var broken: [(replica: Int, lanes: [Lane]?)] = []
        while let action = self.decisions.nextAction() {
            switch action {
            case .send(let dispatch): self.send(dispatch)
            case .fail(let request, let failure):
                if let entry = self.take(request, isOver: failure.isOver) { failed.append((entry, failure)) }
            case .deliverKept(let request): if let entry = self.take(request, isOver: true) { kept.append(entry) }
            case .ping(let replica, let fresh): if !self.isStopped { self.links(replica).health.ping(fresh: fresh) }
            case .health(let replica, let change):
                // Each loop finds out by itself; one of them tells.
                if change.to == .ejected { self.forgetReached() }
                if change.from == .ejected { self.links(replica).connectAgain() }
                self.shared.logger.log(
                    level: self.index == 0 ? .info : .debug,
                    "Replica's health changed",
                    metadata: [
                        "replica": "\(self.decisions.address(of: replica))", "now": "\(change.to)",
                        "reason": "\(change.reason.rawValue)",
                    ]
                )
            case .reset(let replica): broken.append((replica, [.reads, .changes, .waits]))
            case .resetHeavy(let replica): broken.append((replica, [.heavy]))
            case .topologyIsStale: self.shared.topologyIsStale()
            case .retired(let replica): broken.append((replica, nil))
            }
        }
        for (replica, lanes) in broken where self.replicas.indices.contains(replica) {
            guard let links = self.replicas[replica] else { continue }
            if let lanes {
                links.reset(lanes, "no reply for too long")
                continue
            }
            self.replicas[replica] = nil
            self.forgetReached()
            // The rest of its last reply may be at hand.
            self.loop.assumeIsolated().execute { links.close("the replica is no longer part of the cluster") }
        }
        guard !failed.isEmpty || !kept.isEmpty else { return }
        guard later else { return self.tell(failed, kept) }
        let told = (failed, kept)
        self.loop.assumeIsolated().execute { self.tell(told.0, told.1) }
    }

    private func tell(_ failed: [(PendingReply, Failure)], _ kept: [PendingReply]) {
        for (entry, failure) in failed { self.fail(entry, failure) }
        for entry in kept { self.deliverKept(entry) }
    }

    /// Forgets what replicas have reached. One that comes back may be another, which has not waited yet.
    private func forgetReached() { self.reaches += 1 }

    func adopt(_ topology: ClusterTopology) {
        self.topology = topology
        self.decisions.adopt(topology, now: RouterShared.now())
        self.act()
    }

    private func report() {
        let now = RouterShared.now()
        let replicas = self.topology.shards.indices.flatMap { shard in
            self.decisions.replicas(of: shard).map { self.decisions.status(of: $0, now: now) }
        }
        self.shared.publish(
            RouterReport(
                counters: self.decisions.counters,
                waitingHeavyReads: self.decisions.waitingHeavyReads,
                replicas: replicas
            ),
            loop: self.index
        )
    }
}
