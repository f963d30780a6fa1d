package import AnnexCore
import AnnexEngine
package import AnnexStore
import AnnexWire
package import Logging
package import NIOCore
import Synchronization

/// Does one replica's part of the log of one index: it carries out what `ReplicationMachine` decides, over two
/// connections, one for appending and one for reading.
///
/// Any thread may call what `ReplicatedLog` has. Unchecked because all else is touched on `loop` only, except for
/// constants, atomics and what lies in a `Mutex`.
package final class LogFollower: @unchecked Sendable {
    typealias Outcome = Result<StateOutcome, AnnexError>
    typealias Machine = ReplicationMachine<StateChange, Outcome>
    typealias Completion = @Sendable (Result<(outcome: StateOutcome?, token: PositionToken), AnnexError>) -> Void

    /// Carries requests of other threads to the loop. They are gathered so that many wake it once.
    enum Message {
        case change(StateChange, until: Int64?, Completion)
        case stored(block: Int, key: EntryKey?, Result<LoggedOutcome, AnnexError>)
        case waiter(LogWaiters.Waiter)
    }

    let index: EntryName
    let address: LogAddress
    let settings: LogSettings
    let loop: any EventLoop
    let logger: Logger
    let streams: LogStreams
    let store: StateStore
    let codec: EntryCodec

    private let inbox = Mutex<[Message]>([])
    let published: PublishedLog

    // Only the loop touches what follows.
    var machine: Machine
    private var completions: [UInt64: Completion] = [:]
    private var nextToken: UInt64 = 1
    var waiters: LogWaiters
    var links: LogLinks?
    var attempt = 0
    var pause: TimeAmount
    private var timer: RepeatedTask?
    var isStopped = false
    /// Says since when the log is not followed, and what was last said about it.
    private var cutOffSince: Int64?
    private var lastSaid = ""
    private var isSaidToWantTrimming = false
    /// How many entries of each stream the next read asks for.
    var readCount: Int
    /// Counts entries that were passed over.
    var passedOver = PassedOverEntries()
    /// Says by how many milliseconds the log's clock was ahead of this server's when it was last asked. It is nil
    /// before.
    var clockAhead: Int64?

    /// - Parameter store: of which nobody else writes.
    package init(
        index: EntryName,
        store: StateStore,
        address: LogAddress,
        settings: LogSettings,
        loop: any EventLoop,
        logger: Logger
    ) {
        self.index = index
        self.store = store
        self.address = address
        self.settings = settings
        self.loop = loop
        self.logger = logger
        self.streams = LogStreams(index: index, prefix: address.prefix)
        self.codec = EntryCodec(slots: settings.slots)
        self.pause = settings.shortestPause
        self.readCount = settings.replication.readCount
        self.waiters = LogWaiters(limit: settings.waiterLimit)
        self.machine = Machine(
            origin: .random(),
            blocks: settings.blocks,
            marks: store.marksAtOpening,
            identity: store.logAtOpening.id,
            settings: settings.replication
        )
        self.published = PublishedLog(marks: store.marksAtOpening)
    }

    // MARK: Life

    /// Begins to follow the log. Does not block.
    package func start() {
        self.keep(StateLog(slots: self.settings.slots))
        self.loop.execute {
            self.cutOffSince = Self.now
            self.timer = self.loop.scheduleRepeatedTask(initialDelay: self.settings.tick, delay: self.settings.tick) {
                _ in
                self.tick()
            }
            self.connect()
        }
    }

    /// Tells whether the log has been reached, now or before.
    package var isFollowing: Bool { self.published.status == "following" }

    /// Lets go of the log; changes that wait are refused. Returns when nothing of it runs any more. Blocks; not to be
    /// called on an event loop.
    package func stop() {
        try? self.loop.submit {
            self.isStopped = true
            self.timer?.cancel()
            self.handle(.disconnected("the server is shutting down"))
            self.links?.close("the server is shutting down")
            self.links = nil
            self.handle(.tick, at: .max / 2)
            self.waiters.expire(at: .max) { _, _ in "the server is shutting down" }
        }.wait()
    }

    /// Returns milliseconds of a clock that only goes forward.
    static var now: Int64 { Int64(clamping: NIODeadline.now().uptimeNanoseconds / 1_000_000) }

    // MARK: Messages

    func post(_ message: Message) {
        let isFirst = self.inbox.withLock { waiting in
            waiting.append(message)
            return waiting.count == 1
        }
        if isFirst { self.loop.execute { self.drain() } }
    }

    private func drain() {
        let messages = self.inbox.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        let now = Self.now
        for message in messages {
            switch message {
            case .change(let change, let until, let completion): self.take(change, until, completion, now)
            case .stored(let block, let key, let result): self.stored(block, key, result, now)
            case .waiter(let waiter):
                self.waiters.add(waiter, self.machine.mark(waiter.block).position)
            }
        }
        self.links?.flush()
        self.publishMarks()
    }

    private func take(_ change: StateChange, _ until: Int64?, _ completion: @escaping Completion, _ now: Int64) {
        if let late = WallClock.millisecondsPast(until) { return completion(.failure(.expired(late))) }
        let token = self.nextToken
        self.nextToken += 1
        self.completions[token] = completion
        let block = EntryCodec.block(of: change)
        let event = Machine.Event.change(
            token: token,
            block: block,
            change,
            needsOutcome: !change.isOnlyEvents,
            until: until
        )
        self.handle(event, at: now)
    }

    private func stored(_ block: Int, _ key: EntryKey?, _ result: Result<LoggedOutcome, AnnexError>, _ now: Int64) {
        switch result {
        case .success(.applied(let outcome, let mark)):
            self.handle(.applied(block: block, mark, key, .success(outcome)), at: now)
        case .success(.moved(let mark)), .success(.skipped(let mark)):
            self.handle(.applied(block: block, mark, key, nil), at: now)
        case .success(.impossible(let error, let mark)):
            self.logger.error("An entry of the log cannot be stored", metadata: self.metadata(["reason": "\(error)"]))
            self.handle(.applied(block: block, mark, key, .failure(error)), at: now)
        case .failure(let error): self.handle(.applyFailed(block: block, "\(error)"), at: now)
        }
    }

    // MARK: The machine

    func handle(_ event: Machine.Event) { self.handle(event, at: Self.now) }

    func handle(_ event: Machine.Event, at now: Int64) {
        for action in self.machine.handle(event, at: now) { self.perform(action) }
    }

    private func perform(_ action: Machine.Action) {
        switch action {
        case .append(let entry): self.append(entry)
        case .read(let number, let blocks): self.read(number, blocks)
        case .check(let number, let marks): self.check(number, marks)
        case .apply(let batch): self.apply(batch)
        case .claim(let identity): self.claim(identity)
        case .adopt(let identity):
            self.logger.info("Follows a log for the first time", metadata: self.metadata(["id": "\(identity)"]))
            self.keep(StateLog(id: identity))
        case .acknowledge(let token, let block, let position, let outcome):
            let position = PositionToken(
                index: self.index,
                block: block,
                position: position,
                log: self.machine.identity
            )
            let completion = self.completions.removeValue(forKey: token)
            switch outcome {
            case nil: completion?(.success((nil, position)))
            case .success(let outcome): completion?(.success((outcome, position)))
            case .failure(let error): completion?(.failure(error))
            }
        case .refuse(let token, let reason):
            self.completions.removeValue(forKey: token)?(.failure(self.error(reason)))
        }
    }

    // MARK: What others see

    private func publishMarks() {
        let marks = (0..<Slot.blockCount).map { self.machine.mark($0) }
        guard self.published.set(marks) else { return }
        self.waiters.moved { marks[$0].position }
    }

    func publish() {
        self.publishMarks()
        let now = Self.now
        if case .following = self.machine.phase {
            self.cutOffSince = nil
        } else if self.cutOffSince == nil {
            self.cutOffSince = now
        }
        let state = LogStatus(
            self.machine,
            cutOffSince: self.cutOffSince,
            at: now,
            passedOver: self.passedOver,
            clockAhead: self.clockAhead,
            wants: self.settings
        )
        self.published.set(
            state.report(now),
            staleness: state.staleness(self.settings.maximumLag),
            unreadiness: state.unreadiness(self.settings.maximumLag),
            identity: self.machine.identity,
            isFollowing: self.machine.phase == .following
        )
        self.tellOfEntries(state, now)
        if state.said != self.lastSaid {
            self.lastSaid = state.said
            let level: Logger.Level = state.isWell ? .info : .warning
            self.logger.log(level: level, "\(state.said)", metadata: self.metadata(["log": "\(self.address)"]))
        }
    }

    /// Writes a line where the log should be trimmed, and one a minute about entries that were passed over.
    private func tellOfEntries(_ state: LogStatus, _ now: Int64) {
        if let reason = state.wantsTrimming, !self.isSaidToWantTrimming {
            self.logger.warning("The log should be trimmed: \(reason)", metadata: self.metadata([:]))
        }
        self.isSaidToWantTrimming = state.wantsTrimming != nil
        if let text = self.passedOver.toSay(at: now) { self.logger.warning("\(text)", metadata: self.metadata([:])) }
    }

    private func keep(_ log: StateLog) {
        let (logger, metadata) = (self.logger, self.metadata([:]))
        self.store.keep(log) { error in
            guard let error else { return }
            logger.error("The state does not say which log it follows: \(error)", metadata: metadata)
        }
    }

    func metadata(_ more: Logger.Metadata) -> Logger.Metadata {
        more.merging(["index": "\(self.index)"]) { first, _ in first }
    }
}
