import AnnexCore
import AnnexRouter

extension SimWorld {
    /// Starts a fault, and plans its end.
    func inject(_ fault: SimPlan.Fault) {
        let replica = self.replicas[fault.replica]
        if self.departed == nil { self.departed = self.clock.now }
        switch fault.kind {
        case .kill:
            guard replica.isUp else { return }
            replica.kill()
            self.end(fault) { if !replica.isUp { replica.start() } }
        case .pause:
            guard replica.isUp, !replica.isPaused else { return }
            replica.pause()
            self.end(fault) { if replica.isPaused { replica.resume() } }
        case .routerCut: self.cut(replica.toRouter, fault)
        case .logCut, .lateAppend:
            // Late appends are counted when they arrive.
            self.cut(replica.toLog, fault)
            return
        case .logDown:
            guard self.log.isUp else { return }
            self.log.stop()
            self.end(fault) { [self] in self.log.start() }
        case .connectionLoss:
            self.count(.connectionLoss, replica.toRouter.breakConnections() + replica.toLog.breakConnections())
            return
        case .logTrim:
            self.count(.logTrim, self.trim { blocks in blocks.min() ?? .start })
            return
        case .overTrim:
            // Up to the one that has come furthest.
            self.count(.overTrim, self.trim { blocks in blocks.max() ?? .start })
            return
        case .logLoss:
            guard self.log.isUp else { return }
            self.log.stop()
            for block in 0..<Slot.blockCount {
                let count = self.random.below(4) == 0 ? self.log.streams[block].count : self.random.below(6)
                self.count(.logLoss, self.log.lose(block, last: count))
            }
            self.end(fault) { [self] in self.log.start() }
            return
        case .slow:
            replica.slowness = milliseconds(5 + self.random.below(80))
            self.end(fault) { replica.slowness = 0 }
        case .delay:
            replica.toRouter.extraDelay = milliseconds(1 + self.random.below(120))
            self.end(fault) { replica.toRouter.extraDelay = 0 }
        case .replyLost:
            replica.losesNextReply = true
            return
        case .applyFailure:
            replica.failingShare = self.random.below(2) == 0 ? 100 : 20
            self.end(fault) { replica.failingShare = 0 }
            return
        case .unfit:
            replica.isUnfit = true
            self.end(fault) { [self] in
                replica.isUnfit = false
                self.fitAgain = self.clock.now
            }
        case .topologyChange:
            guard self.plan.replicasPerShard > 1 else { return }
            self.leaveOut(fault.replica, epoch: 2)
            self.end(fault) { [self] in self.leaveOut(nil, epoch: 3) }
        case .cancel:
            guard self.router.cancelOne() else { return }
        }
        self.count(fault.kind)
    }

    /// Trims each stream up to what `place` makes of where its replicas have come. Returns how many entries went.
    private func trim(_ place: ([LogPosition]) -> LogPosition) -> Int {
        (0..<Slot.blockCount).reduce(0) { sum, block in
            let followers = self.replicas.filter { self.follows($0.shard, block) }
            return sum + self.log.trim(block, before: place(followers.map { $0.state.marks[block].position }))
        }
    }

    private func end(_ fault: SimPlan.Fault, _ body: @escaping () -> Void) { self.clock.after(fault.length, body) }

    private func cut(_ path: SimPath, _ fault: SimPlan.Fault) {
        guard !path.isCut else { return }
        path.cut()
        if fault.kind != .lateAppend { self.count(fault.kind) }
        self.end(fault) { path.mend() }
    }

    /// Ends every fault.
    func heal() {
        for replica in self.replicas {
            if !replica.isUp { replica.start() }
            if replica.isPaused { replica.resume() }
            replica.toLog.mend()
            replica.toRouter.mend()
            replica.toRouter.extraDelay = 0
            replica.slowness = 0
            replica.failingShare = 0
            replica.losesNextReply = false
            replica.isUnfit = false
        }
        if !self.log.isUp { self.log.start() }
        self.leaveOut(nil, epoch: 4)
        self.healed = self.clock.now
    }
}
