import AnnexWire
import Logging
import NIOCore

/// Looks now and then at timeouts, and takes the steps of a drain.
extension ConnectionHandler {
    func checkDeadlines(_ now: NIODeadline) {
        guard let context, !self.machine.isClosed, !self.machine.isLingering else { return }
        if self.held.output > 0 { self.measureOutput(context) }
        let configuration = self.loop.shared.configuration
        // While nothing is read, the rest of a command cannot come.
        if self.clock.unfinishedSince != nil, !self.machine.mayRead { self.clock.unfinishedSince = now }
        if self.isStalled(now, for: TimeAmount(configuration.stalledTimeout)) {
            let seconds = configuration.stalledTimeout.components.seconds
            self.evict("\(self.held.output) bytes of replies wait, and the client took none of them for \(seconds) s")
        } else if let since = self.clock.unfinishedSince,
            now - since > TimeAmount(configuration.unfinishedCommandTimeout)
        {
            self.timeOut("command not complete in time")
        } else if !self.state.authenticated,
            now - self.clock.unauthenticatedSince > TimeAmount(configuration.authTimeout)
        {
            self.timeOut("no successful AUTH in time")
        } else if self.machine.isFinishing,
            now - self.clock.lastActive > TimeAmount(configuration.unfinishedCommandTimeout)
        {
            self.timeOut("last replies not read in time")
        } else if self.loop.settings.idleTimeout > .zero, self.machine.isServing,
            now - self.clock.lastActive > TimeAmount(self.loop.settings.idleTimeout)
        {
            self.timeOut("idle")
        }
    }

    private func timeOut(_ reason: String) {
        self.loop.metrics.timedOut &+= 1
        self.loop.shared.logger.debug(
            "Client timed out",
            metadata: ["client": "\(self.state.id)", "address": "\(self.state.address)", "reason": "\(reason)"]
        )
        self.closeNow()
    }

    /// Takes one step of a drain. It closes when everything received has been answered and nothing came for two steps
    /// in which the connection was reading, or, when it is `late`, as soon as what has been received is answered.
    func drainStep(late: Bool) {
        guard let context, !self.machine.isLingering else { return }
        self.clock.quietDrainSteps = self.machine.mayRead ? self.clock.quietDrainSteps + 1 : 0
        guard self.clock.quietDrainSteps > 2 || late else { return }
        self.machine.stopReading(isQuiet: !late)
        self.serveOn(context)
    }
}
