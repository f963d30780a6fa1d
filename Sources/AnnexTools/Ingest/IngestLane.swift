import AnnexClient
import AnnexCore
import AnnexWire
import NIOCore
import NIOPosix

/// Sends the events of some of the users in their order, several at a time, on a connection of its own.
///
/// Where the server does not take one, the replies to those behind it do not count: from it on all are sent again, in
/// order, after a pause that doubles. So of two events of the same user, item and time the last one wins in any case.
/// Everything happens on the run's loop.
final class IngestLane: IngestConnectionOwner {
    private static let pauses = (first: TimeAmount.milliseconds(50), longest: TimeAmount.seconds(2))

    private enum State {
        /// It may send, where it has a connection.
        case ready
        case connecting
        /// For the replies that are out, behind one that has to be sent again.
        case draining
        case pausing(Scheduled<Void>)
    }

    private unowned let run: IngestRun
    private let number: Int
    private var state = State.ready
    private var connection: IngestConnection?
    /// Events that were sent and not answered: the lane's first ones, from a failed one on.
    private var inFlight = 0
    /// Since the last reply that settled something.
    private var failures = 0
    private var failingSince: UInt64?
    /// When the last reply came, or events went out that wait alone, or the connecting began.
    private var waitingSince: UInt64 = 0

    init(_ run: IngestRun, number: Int) { (self.run, self.number) = (run, number) }

    /// Whether a reply may still come.
    var isWaiting: Bool { self.inFlight > 0 }

    /// There may be something to send.
    func proceed() {
        guard case .ready = self.state, self.run.maySend else { return }
        // One that failed goes alone.
        let limit = self.failingSince == nil ? self.run.settings.pipeline : 1
        var commands: [[[UInt8]]] = []
        while self.inFlight + commands.count < limit,
            let event = self.run.window.event(of: self.number, behind: self.inFlight + commands.count)
        { commands.append(self.run.words(event)) }
        guard !commands.isEmpty else { return }
        if self.inFlight == 0 { self.waitingSince = LoadClock.now() }
        guard let connection else {
            self.state = .connecting
            return self.connect()
        }
        self.inFlight += commands.count
        self.run.sent += commands.count
        connection.send(commands)
    }

    /// Nothing more is sent; what waits for replies goes on waiting.
    func stop() {
        if case .pausing(let pause) = self.state { pause.cancel() }
        if !self.isWaiting { self.close() }
    }

    func close() {
        self.connection?.close()
        self.connection = nil
        self.inFlight = 0
        self.state = .ready
    }

    /// Called now and then: the run fails where there was no reply for too long.
    func look(_ now: UInt64, patience: UInt64) {
        let isConnecting = if case .connecting = self.state { true } else { false }
        guard self.isWaiting || isConnecting, self.waitingSince.addingClamped(patience) < now else { return }
        let text = "no reply to \(isConnecting ? "AUTH" : "EVENT")"
        let hint = "Does it still run? Wait longer with --patience"
        self.run.fail(AnnexError(.system, text, at: self.run.settings.address, hint: hint))
    }

    // MARK: The connection

    private func connect() {
        let settings = self.run.settings
        let connection = IngestConnection(address: settings.address, password: settings.password, owner: self)
        self.connection = connection
        let handler = NIOLoopBound(connection, eventLoop: self.run.eventLoop)
        ClientBootstrap(group: self.run.eventLoop)
            .connectTimeout(.seconds(4))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler.value) }
            }
            .connect(host: settings.host, port: settings.port)
            .whenFailure { error in
                handler.value.end(ConnectionFailure.refused(error, at: settings.address))
            }
    }

    func opened(_ connection: IngestConnection) {
        guard case .connecting = self.state else { return }
        self.state = .ready
        self.proceed()
    }

    func lost(_ error: AnnexError, isRefused: Bool) {
        self.connection = nil
        if isRefused { return self.run.fail(error) }
        let wasWaiting = self.isWaiting
        self.inFlight = 0
        switch self.state {
        case .ready where !wasWaiting:
            // Where there is something to send, that opens another.
            self.proceed()
        case .ready, .connecting, .draining: self.tryAgain(error)
        case .pausing: break
        }
    }

    // MARK: Replies

    func replied(error text: [UInt8]?) {
        guard self.isWaiting else {
            // No telling any more which reply is whose.
            let text = "the server sent a reply that nobody asked for"
            return self.run.fail(AnnexError(.system, text, at: self.run.settings.address))
        }
        self.inFlight -= 1
        self.waitingSince = LoadClock.now()
        if case .draining = self.state {
            if !self.isWaiting { self.pause() }
            return
        }
        guard let text else { return self.settle(rejection: nil) }
        let reason = Printable.escape(text, limit: ReplyScanner.maximumErrorBytes)
        let error = AnnexError(.system, "the server answered '\(reason)'", at: self.run.settings.address)
        switch IngestAnswer(error: text) {
        case .reject: self.settle(rejection: reason)
        case .never: self.giveUp(error)
        case .notNow: self.tryAgain(error)
        }
    }

    private func settle(rejection: String?) {
        self.failingSince = nil
        self.failures = 0
        self.run.settle(self.number, rejection: rejection)
    }

    /// Not in `settle`: a second reply to the same event would be taken for one to the next.
    func mayContinue() { self.proceed() }

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
