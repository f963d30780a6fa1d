import AnnexClient
import AnnexCore
import AnnexWire
import NIOCore

/// Sends the events of some of the users in their order, several at a time, on a connection of its own.
///
/// Where the server does not take one, the replies to those behind it do not count: from it on all are sent again, in
/// order, after a pause that doubles. So of two events of the same user, item and time the last one wins in any case.
/// Everything happens on the run's loop.
final class IngestLane {
    private static let pauses = (first: TimeAmount.milliseconds(50), longest: TimeAmount.seconds(2))

    private enum State {
        /// It may send, where it has a connection.
        case ready
        case connecting
        /// Waits for the replies that are out, behind one event that has to be sent again.
        case draining
        case pausing(Scheduled<Void>)
    }

    private unowned let run: IngestRun
    private let number: Int
    private var state = State.ready
    private var connection: RESPConnection?
    /// Counts connections: what an old one says is of no interest any more.
    private var attempt = 0
    /// Counts events that were sent and not answered: the lane's first ones, from a failed one on.
    private var inFlight = 0
    /// The time of the last reply that settled something.
    private var failures = 0
    private var failingSince: UInt64?

    init(_ run: IngestRun, number: Int) { (self.run, self.number) = (run, number) }

    /// Tells whether a reply may still come.
    var isWaiting: Bool { self.inFlight > 0 }

    /// There may be something to send.
    func proceed() {
        guard case .ready = self.state, self.run.maySend else { return }
        // An event that failed goes alone.
        let limit = self.failingSince == nil ? self.run.settings.pipeline : 1
        var commands: [[[UInt8]]] = []
        while self.inFlight + commands.count < limit,
            let event = self.run.window.event(of: self.number, behind: self.inFlight + commands.count)
        { commands.append(self.run.words(event)) }
        guard !commands.isEmpty else { return }
        guard let connection else {
            self.state = .connecting
            return self.connect()
        }
        self.inFlight += commands.count
        self.run.sent += commands.count
        for words in commands {
            connection.send(words, within: self.run.replyPatience) { result in
                // `lost` gets the reason why the connection ended.
                if case .success(let reply) = result { self.replied(reply) }
            }
        }
        connection.flush()
    }

    /// Nothing more is sent; what waits for replies goes on waiting.
    func stop() {
        if case .pausing(let pause) = self.state { pause.cancel() }
        if !self.isWaiting { self.close() }
    }

    func close() {
        self.attempt += 1
        self.connection?.close("the run is over")
        self.connection = nil
        self.inFlight = 0
        self.state = .ready
    }

    // MARK: The connection

    private func connect() {
        self.attempt += 1
        let attempt = self.attempt
        RESPConnection.connect(
            self.run.connection,
            on: self.run.eventLoop,
            // This does not come with each reply: a second one to the same event would be taken for that to the next.
            afterReplies: { self.proceed() },
            onClose: { self.lost($0, attempt) }
        ).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let connection): self.opened(connection, attempt)
            case .failure(let error):
                let failure = error as? RESPFailure ?? .broken(error, at: self.run.settings.address)
                self.lost(failure, attempt)
            }
        }
    }

    private func opened(_ connection: RESPConnection, _ attempt: Int) {
        guard attempt == self.attempt, case .connecting = self.state else {
            return connection.close("it came too late")
        }
        self.connection = connection
        self.state = .ready
        self.proceed()
    }

    private func lost(_ failure: RESPFailure, _ attempt: Int) {
        guard attempt == self.attempt else { return }
        let wasWaiting = self.isWaiting
        self.connection = nil
        self.inFlight = 0
        switch failure.kind {
        case .refused, .unasked: return self.run.fail(failure.error)
        case .late:
            let hint = "Does it still run? Wait longer with --patience"
            return self.run.fail(AnnexError(.system, failure.text, at: failure.address, hint: hint))
        case .unreachable, .senseless, .lost, .closed: break
        }
        switch self.state {
        case .ready where !wasWaiting:
            // This opens another connection where there is something to send.
            self.proceed()
        case .ready, .connecting, .draining: self.tryAgain(failure.error)
        case .pausing: break
        }
    }

    // MARK: Replies

    private func replied(_ reply: ReplyValue) {
        self.inFlight -= 1
        if case .draining = self.state {
            if !self.isWaiting { self.pause() }
            return
        }
        if case .simple("OK") = reply { return self.settle(rejection: nil) }
        guard let text = Self.error(in: reply) else {
            let message = "the answer to an event was no OK, but \(Printable.escape("\(reply)"))"
            return self.giveUp(
                AnnexError(
                    .system,
                    message,
                    at: self.run.settings.address,
                    hint: "Is it `annctl serve` or `annctl route`?"
                )
            )
        }
        let reason = Printable.escape(text, limit: RESPFailure.shownBytes)
        let error = AnnexError(.system, "the server answered '\(reason)'", at: self.run.settings.address)
        switch IngestAnswer(error: Array(text.utf8)) {
        case .reject: self.settle(rejection: reason)
        case .never: self.giveUp(error)
        case .notNow: self.tryAgain(error)
        }
    }

    /// Returns the first error in a reply, if there is one.
    private static func error(in reply: ReplyValue) -> String? {
        if case .error(let text) = reply { return text }
        return reply.elements?.lazy.compactMap { self.error(in: $0) }.first
    }

    private func settle(rejection: String?) {
        self.failingSince = nil
        self.failures = 0
        self.run.settle(self.number, rejection: rejection)
    }

    private func tryAgain(_ error: AnnexError) {
        let now = LoadClock.now()
        if self.failingSince == nil {
            self.failingSince = now
            self.run.failing(error)
        }
        guard now < (self.failingSince ?? now).addingClamped(self.run.patience) else { return self.giveUp(error) }
        if self.isWaiting { self.state = .draining } else { self.pause() }
    }

    /// Replies to what is behind a failed event do not count, as the next run sends them again.
    private func giveUp(_ error: AnnexError) {
        self.state = .draining
        self.run.fail(error)
    }

    private func pause() {
        self.state = .ready
        guard self.run.maySend else { return self.run.endIfDone() }
        let pause = min(Self.pauses.first.nanoseconds << min(self.failures, 10), Self.pauses.longest.nanoseconds)
        self.failures += 1
        let now = LoadClock.now()
        // The last try is at the end of the patience.
        let end = (self.failingSince ?? now).addingClamped(self.run.patience)
        let left = end - min(end, now)
        let wait = min(pause, Int64(clamping: left))
        self.state = .pausing(
            self.run.eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(wait)) {
                self.state = .ready
                self.proceed()
            }
        )
    }
}
