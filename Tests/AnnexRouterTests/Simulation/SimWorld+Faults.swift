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
            replica.failsToApply = true
            self.end(fault) { replica.failsToApply = false }
            return
        case .topologyChange:
            guard self.plan.replicasPerShard > 1 else { return }
            self.leaveOut(fault.replica, epoch: 2)
            self.end(fault) { [self] in self.leaveOut(nil, epoch: 3) }
        case .cancel:
            guard self.router.cancelOne() else { return }
        }
        self.count(fault.kind)
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
            replica.failsToApply = false
            replica.losesNextReply = false
        }
        if !self.log.isUp { self.log.start() }
        self.leaveOut(nil, epoch: 4)
        self.healed = self.clock.now
    }
}
