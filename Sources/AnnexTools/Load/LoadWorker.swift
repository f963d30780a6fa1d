import AnnexCore
import NIOCore

/// Drives one event loop's part of a load: decides who sends when, and counts.
///
/// In a closed loop a connection that got a reply sends the next request at once. In an open loop what is due goes to
/// the connection that has waited longest for something to do; where all of them wait for replies it goes out late, and
/// its latency says so. `start` is called once, behind the last `add`.
///
/// Unchecked because all but the constants is read and written on `eventLoop` only.
final class LoadWorker: @unchecked Sendable {
    /// The worker looks once in this time for replies that do not come, and for the end.
    private static let watchInterval = TimeAmount.milliseconds(20)

    let eventLoop: any EventLoop
    /// Holds the host and port that errors show.
    let address: String
    private let share: LoadShare
    private let requests: LoadRequests

    private var random: SeededRandom
    private var connections: [LoadConnection] = []
    private var tally: LoadTally
    private var schedule: LoadSchedule?
    /// Holds connections of an open loop that may send.
    private var idle = CircularBuffer<LoadConnection>()
    private var timer: Scheduled<Void>?
    private var watch: RepeatedTask?
    private var done: EventLoopPromise<LoadTally>?
    /// Holds the error that came before `start`.
    private var earlyFailure: AnnexError?

    private var measuredFrom: UInt64 = 0
    /// Nothing new is sent from then on.
    private var end: UInt64 = .max
    /// Counts requests sent, of those that are measured.
    private var started = 0
    private var waiting = 0
    private var lastReply: UInt64 = 0
    private var processorBegin: UInt64 = 0

    init(eventLoop: any EventLoop, address: String, share: LoadShare, requests: LoadRequests) {
        self.eventLoop = eventLoop
        self.address = address
        self.share = share
        self.requests = requests
        self.random = SeededRandom(seed: share.seed)
        self.tally = LoadTally(commands: requests.names.count)
    }

    func add(_ connection: LoadConnection) { self.connections.append(connection) }

    /// The load begins at `begin`. Fails where the server does.
    func start(at begin: UInt64) -> EventLoopFuture<LoadTally> {
        if let earlyFailure { return self.eventLoop.makeFailedFuture(earlyFailure) }
        let promise = self.eventLoop.makePromise(of: LoadTally.self)
        self.done = promise
        self.measuredFrom = begin + self.share.warmup
        self.processorBegin = LoadClock.threadProcessorTime()
        self.eventLoop.scheduleTask(deadline: .uptimeNanoseconds(self.measuredFrom)) {
            self.processorBegin = LoadClock.threadProcessorTime()
        }
        if let distance = self.share.nanosecondsPerRequest {
            let schedule = LoadSchedule(begin: begin, share: self.share, nanosecondsPerRequest: distance)
            self.schedule = schedule
            self.end = schedule.end.addingClamped(self.share.timeout)
        } else if let duration = self.share.duration {
            self.end = self.measuredFrom.addingClamped(duration)
        }
        self.watch = self.eventLoop.scheduleRepeatedTask(
            initialDelay: Self.watchInterval,
            delay: Self.watchInterval
        ) { _ in self.look() }
        self.eventLoop.scheduleTask(deadline: .uptimeNanoseconds(begin)) {
            for connection in self.connections { self.mayContinue(connection) }
        }
        return promise.futureResult
    }

    // MARK: Sending

    /// The connection has room for requests.
    func mayContinue(_ connection: LoadConnection) {
        guard self.done != nil else { return }
        if self.schedule == nil {
            self.fill(connection)
        } else {
            self.enqueue(connection)
            self.sendDue()
        }
        self.endIfDone()
    }

    private func fill(_ connection: LoadConnection) {
        let now = LoadClock.now()
        var wrote = false
        while connection.waiting < self.share.pipeline, self.mayStart(now) {
            self.send(on: connection, due: now, now: now, isMeasured: now >= self.measuredFrom)
            wrote = true
        }
        if wrote { connection.flush() }
    }

    private func mayStart(_ now: UInt64) -> Bool {
        guard now < self.end else { return false }
        return self.share.requests.map { self.started < $0 } ?? true
    }

    private func enqueue(_ connection: LoadConnection) {
        guard !connection.isQueued, connection.waiting < self.share.pipeline else { return }
        connection.isQueued = true
        self.idle.append(connection)
    }

    /// Sends what is due as long as somebody has nothing to do, and comes back when the next is.
    private func sendDue() {
        while self.done != nil, let schedule = self.schedule, let due = schedule.due, let connection = self.idle.first {
            let now = LoadClock.now()
            guard now < self.end else { return }
            guard due <= now else { return self.wake(at: due) }
            self.schedule?.take()
            self.idle.removeFirst()
            connection.isQueued = false
            self.send(on: connection, due: due, now: now, isMeasured: schedule.isMeasured)
            self.enqueue(connection)
            connection.flush()
        }
    }

    private func wake(at time: UInt64) {
        guard self.timer == nil else { return }
        self.timer = self.eventLoop.scheduleTask(deadline: .uptimeNanoseconds(time)) {
            self.timer = nil
            self.sendDue()
        }
    }

    private func send(on connection: LoadConnection, due: UInt64, now: UInt64, isMeasured: Bool) {
        let (command, request) = self.requests.draw(&self.random)
        self.waiting += 1
        if isMeasured {
            self.started += 1
            self.tally.bytesOut += request.readableBytes
        }
        connection.write(request, LoadFlight(command: command, due: due, sent: now, isMeasured: isMeasured))
    }

    // MARK: Counting

    func replied(to flight: LoadFlight, error: [UInt8]?, bytes: Int, at now: UInt64) {
        self.waiting -= 1
        guard flight.isMeasured else { return }
        self.lastReply = now
        self.tally.record(flight, repliedAt: now, bytes: bytes)
        if let error { self.tally.record(error: error) }
    }

    // MARK: The end

    private func look() {
        let now = LoadClock.now()
        for connection in self.connections {
            guard let since = connection.waitingSince, since.addingClamped(self.share.timeout) < now else { continue }
            let seconds = Double(self.share.timeout) / 1e9
            return self.fail(
                AnnexError(
                    .system,
                    "no reply within \(seconds) s",
                    at: self.address,
                    hint: "Ask for less with --rate or --connections, or wait longer with --timeout"
                )
            )
        }
        self.endIfDone()
    }

    private func endIfDone() {
        guard self.waiting == 0, let done = self.done else { return }
        let now = LoadClock.now()
        if let schedule = self.schedule {
            guard schedule.left == 0 || now >= self.end else { return }
            self.tally.unsent = schedule.left
        } else {
            guard !self.mayStart(now) else { return }
        }
        let last = max(self.lastReply, self.schedule?.end ?? 0)
        self.tally.nanoseconds = last > self.measuredFrom ? last - self.measuredFrom : 0
        self.tally.processorNanoseconds = LoadClock.threadProcessorTime() &- self.processorBegin
        self.stop()
        done.succeed(self.tally)
    }

    func fail(_ error: AnnexError) {
        guard let done = self.done else {
            self.earlyFailure = self.earlyFailure ?? error
            self.connections = []
            return
        }
        self.stop()
        done.fail(error)
    }

    /// Does nothing the second time. Closes the connections.
    private func stop() {
        guard self.done != nil else { return }
        self.done = nil
        self.watch?.cancel()
        self.timer?.cancel()
        let connections = self.connections
        self.connections = []
        self.idle.removeAll()
        for connection in connections { connection.close() }
    }
}
