import AnnexClient
import AnnexCore
import NIOCore

/// Reaches the log, and notices that it is gone. Everything here runs on the loop.
extension LogFollower {
    func connect() {
        guard !self.isStopped else { return }
        self.attempt += 1
        let attempt = self.attempt
        let lost: @Sendable (RESPFailure) -> Void = { self.lostConnection(attempt, $0.text) }
        let connection = self.address.connection(timeout: self.settings.answerTimeout)
        let settings = self.settings
        let loop = self.loop
        RESPConnection.connect(connection, on: loop, onClose: lost).flatMap { append in
            RESPConnection.connect(connection, on: loop, onClose: lost).map { LogLinks(append, $0, settings) }
                .flatMapErrorThrowing { error in
                    append.close("\(error)")
                    throw error
                }
        }.whenComplete { result in
            switch result {
            case .success(let links) where attempt == self.attempt && !self.isStopped:
                self.links = links
                self.pause = self.settings.shortestPause
                self.handle(.connected)
            case .success(let links): links.close("it came too late")
            case .failure(let error): self.lostConnection(attempt, "\(error)")
            }
        }
    }

    /// Closes what is left of an attempt, once, and tries again in a while.
    private func lostConnection(_ attempt: Int, _ reason: String) {
        guard attempt == self.attempt, !self.isStopped else { return }
        self.attempt += 1
        let links = self.links
        self.links = nil
        links?.close(reason)
        self.handle(.disconnected(Printable.escape(reason, limit: 200)))
        self.publish()
        // Replicas that lost it together do not come back at one moment.
        let spread = Int64.random(in: 50...100)
        let pause = TimeAmount.nanoseconds(self.pause.nanoseconds / 100 * spread)
        self.pause = min(self.settings.longestPause, .nanoseconds(self.pause.nanoseconds * 2))
        self.loop.scheduleTask(in: pause) { self.connect() }
    }

    func tick() {
        self.handle(.tick)
        self.links?.flush()
        self.waiters.expire(at: Self.now) { _, position in
            "this replica has applied its stream up to \(position), which is not there yet"
        }
        self.publish()
    }
}
