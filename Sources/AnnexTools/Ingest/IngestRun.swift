import AnnexClient
import AnnexCore
import NIOCore
import NIOPosix

/// Sends a file of events, several at a time, and keeps what it came to in the progress file.
///
/// Lines are read as there is room for them, so memory is bounded whatever the file's size. A lane (a connection) has
/// all events of some users, in the order of the file. It is used once.
///
/// Unchecked because all but the constants is read and written on `eventLoop` only.
package final class IngestRun: @unchecked Sendable {
    static let watchInterval = TimeAmount.milliseconds(100)
    /// Says, in nanoseconds, how much lies between two saves, and how long a run that is stopped waits for the replies
    /// that are out.
    static let (saveInterval, longestWait): (UInt64, UInt64) = (1_000_000_000, 5_000_000_000)

    let settings: IngestSettings
    let eventLoop: any EventLoop
    /// Counts nanoseconds.
    let patience: UInt64
    /// A lane that hears nothing for so long while it waits for a reply ends the run.
    let replyPatience: TimeAmount
    let connection: RESPSettings
    private let group: MultiThreadedEventLoopGroup
    let source: any IngestSource
    let tell: @Sendable (IngestNews) -> Void
    /// Holds the bytes that all commands end in.
    private let tail: [[UInt8]]

    var window: IngestWindow
    var clock: IngestClock
    var lanes: [IngestLane] = []
    /// The progress of earlier runs.
    let before: IngestProgress
    /// Counts lines of theirs that are still to be passed over.
    var left: Int
    var isReading = false
    var isAtEnd = false
    /// Counts events that went out, and that came back well.
    var sent = 0
    private var acknowledged = 0

    private let keeper: IngestKeeper
    private var saving: EventLoopFuture<Void>
    private var savesInFlight = 0
    private var savedAt: UInt64 = 0
    private var begin: UInt64 = 0
    private var watch: RepeatedTask?
    private var done: EventLoopPromise<Void>?
    private var failure: AnnexError?
    /// Holds the time when a run that was stopped waits for replies no more.
    private var waitsUntil = UInt64.max
    private var toldOfTrouble: UInt64?

    /// - Parameters:
    ///   - progress: of earlier runs, or a new one; not finished.
    ///   - rejects: opened with as many bytes as `progress` says.
    ///   - news: called on the run's thread, and has to be quick.
    package init(
        _ settings: IngestSettings,
        from progress: IngestProgress,
        source: sending any IngestSource,
        rejects: sending IngestRejects,
        news: @escaping @Sendable (IngestNews) -> Void
    ) {
        self.settings = settings
        self.group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        self.eventLoop = self.group.next()
        self.patience = settings.patience.nanoseconds
        self.replyPatience = .nanoseconds(Int64(clamping: max(self.patience, Self.longestWait)))
        self.connection = settings.connection(replyPatience: self.replyPatience)
        self.source = source
        self.tell = news
        self.tail = [Array("INDEX".utf8), Array(progress.index.utf8)]
        self.window = IngestWindow(lanes: settings.connections, done: progress.lines)
        self.clock = IngestClock(base: progress.at)
        self.before = progress
        self.left = progress.lines
        self.keeper = IngestKeeper(settings.progressFile, rejects)
        self.saving = self.eventLoop.makeSucceededVoidFuture()
    }

    /// Returns when all lines are done, or at a failure or `stop` as soon as the replies that are out have come. What was
    /// acknowledged is then in the progress file.
    package func run() async -> IngestResult {
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await self.eventLoop.flatSubmit { self.start() }.get()) } catch {
            outcome = .failure(error)
        }
        await NameLookups.shutDown(self.group)
        // Its thread has ended, so nothing else touches this.
        if case .failure(let error) = outcome, self.failure == nil {
            self.failure = error as? AnnexError ?? AnnexError(.system, "\(error)")
        }
        return IngestResult(
            progress: self.keeper.saved ?? self.before,
            sent: self.sent,
            acknowledged: self.acknowledged,
            rejected: self.window.rejected,
            seconds: Double(LoadClock.now() - self.begin) / 1e9,
            failure: self.failure
        )
    }

    /// Ends it early; a second time it does so without waiting for replies. Any thread may call it.
    package func stop(_ reason: String) {
        self.eventLoop.execute {
            if self.failure != nil { self.waitsUntil = 0 }
            self.fail(AnnexError(.system, reason))
        }
    }

    private func start() -> EventLoopFuture<Void> {
        let promise = self.eventLoop.makePromise(of: Void.self)
        self.done = promise
        self.begin = LoadClock.now()
        self.savedAt = self.begin
        self.lanes = (0..<self.settings.connections).map { IngestLane(self, number: $0) }
        self.watch = self.eventLoop.scheduleRepeatedTask(initialDelay: Self.watchInterval, delay: Self.watchInterval) {
            _ in self.look()
        }
        // Nothing is sent where the progress cannot be kept.
        self.save().whenComplete { _ in self.readOn() }
        return promise.futureResult
    }

    // MARK: For the lanes

    var maySend: Bool { self.failure == nil }

    var isSaving: Bool { self.savesInFlight > 0 }

    func words(_ event: IngestEvent) -> [[UInt8]] {
        var words = [Array("EVENT".utf8), event.user.bytes, event.item.bytes, Array("\(event.weight)".utf8)]
        if let time = event.time { words += [Array("AT".utf8), Array("\(time)".utf8)] }
        return words + self.tail
    }

    func settle(_ lane: Int, rejection: String?) {
        self.window.settle(lane, rejection: rejection)
        if rejection == nil { self.acknowledged += 1 }
        self.checkRejects()
        self.readOn()
        self.endIfDone()
    }

    /// The first failure counts.
    func fail(_ error: AnnexError) {
        if self.failure == nil {
            self.failure = error
            self.waitsUntil = LoadClock.now().addingClamped(Self.longestWait)
            for lane in self.lanes { lane.stop() }
        }
        self.endIfDone()
    }

    /// A lane tries again from now on. Somebody is told, not of each.
    func failing(_ error: AnnexError) {
        let now = LoadClock.now()
        guard self.toldOfTrouble.map({ $0.addingClamped(5_000_000_000) < now }) ?? true else { return }
        self.toldOfTrouble = now
        self.tell(
            .note("\(error.location ?? ""): \(error.message); tried again for up to \(self.patience / 1_000_000_000) s")
        )
    }

    func endIfDone() {
        guard let done = self.done else { return }
        if self.failure == nil {
            guard self.isAtEnd, self.window.isEmpty else { return }
        } else {
            guard LoadClock.now() >= self.waitsUntil || !self.lanes.contains(where: \.isWaiting) else { return }
        }
        self.done = nil
        self.watch?.cancel()
        for lane in self.lanes { lane.close() }
        self.save().cascade(to: done)
    }

    // MARK: Now and then

    private func look() {
        let now = LoadClock.now()
        if !self.isSaving, self.savedAt.addingClamped(Self.saveInterval) <= now { self.save() }
        self.tellProgress()
        self.endIfDone()
    }

    private func tellProgress() {
        let fraction = (try? self.source.fractionRead()) ?? 0
        self.tell(.progress(fraction: fraction, acknowledged: self.acknowledged, rejected: self.window.rejected))
    }

    func checkRejects() {
        let count = self.before.rejected + self.window.rejected
        guard let maximum = self.settings.maximumRejects, count > maximum else { return }
        let hint = "Look at the file of rejects; allow more with --max-rejects"
        self.fail(AnnexError(.limit, "\(count) lines were rejected, more than \(maximum)", hint: hint))
    }

    /// Saves follow one another. A failure of one ends the run.
    @discardableResult func save() -> EventLoopFuture<Void> {
        var progress = self.before
        progress.lines = self.window.done
        progress.acknowledged += self.window.acknowledged
        progress.rejected += self.window.rejected
        progress.isFinished = self.isAtEnd && self.window.isEmpty && self.failure == nil
        let lines = self.window.rejects
        self.window.rejects = []
        self.savedAt = LoadClock.now()
        self.savesInFlight += 1
        let (keeper, loop, saved) = (self.keeper, self.eventLoop, progress)
        let saving = self.saving.flatMap {
            NIOThreadPool.singleton.runIfActive(eventLoop: loop) { try keeper.save(saved, lines) }
        }
        self.saving = saving
        saving.whenComplete { result in
            self.savesInFlight -= 1
            if case .failure(let error) = result { self.fail(error as? AnnexError ?? AnnexError(.system, "\(error)")) }
            self.readOn()
        }
        return saving
    }
}
