import AnnexWire
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// One part of `INFO`: `# Title` and its `name:value` lines.
package struct InfoSection: Sendable {
    package let title: String
    package let lines: [(name: String, value: String)]

    package init(_ title: String, _ lines: [(name: String, value: String)]) {
        self.title = title
        self.lines = lines
    }
}

/// State that all loops of one server share: constants, a few atomics that change per connection or per large buffer (never
/// per command), and a lock that only `CONFIG SET` and start take.
final class ServerShared: Sendable {
    let configuration: ServerConfiguration
    let table = CommandTable.standard
    let logger: Logger
    /// Commands that leave the loops.
    let work: WorkQueue
    /// Sections that other parts add to `INFO`. Called on a thread of its own, so it may take a while.
    let info: @Sendable () -> [InfoSection]
    /// Nil where this server stands alone.
    let cluster: ClusterView?
    /// How many keys DBSIZE would tell, for INFO.
    let keyCount: @Sendable () -> Int
    let startedAt = NIODeadline.now()
    let runID: String

    /// Connections open, over all loops.
    let connections = Atomic<Int>(0)
    let rejected = Atomic<Int>(0)
    let maximumConnections: Atomic<Int>
    /// Rejected clients that still wait to read their error.
    let lingering = Atomic<Int>(0)
    let nextClient = Atomic<UInt64>(1)
    let nextSlowlogEntry = Atomic<Int>(0)
    /// Bytes held for clients: what the loops last published (each within `LoopContext.publishStep` of the truth), and
    /// replies that other threads make.
    let heldBytes = Atomic<Int>(0)
    let evicting = Atomic<Bool>(false)
    /// The server is about to end.
    let isLeaving = Atomic<Bool>(false)
    let guesses = PasswordGuesses()

    private struct Changing {
        var loops: [LoopContext] = []
        /// The configuration, with the changes of CONFIG SET and of the system, and the real port.
        var configuration: ServerConfiguration
    }
    private let changing: Mutex<Changing>

    init(
        configuration: ServerConfiguration,
        logger: Logger,
        info: @escaping @Sendable () -> [InfoSection],
        cluster: ClusterView?,
        keyCount: @escaping @Sendable () -> Int
    ) {
        self.configuration = configuration
        self.logger = logger
        self.work = WorkQueue(
            queryThreads: configuration.deferredThreads,
            maximumJobs: configuration.maximumDeferred,
            patience: configuration.workPatience
        )
        self.info = info
        self.cluster = cluster
        self.keyCount = keyCount
        self.maximumConnections = Atomic(configuration.maximumConnections)
        var generator = SystemRandomNumberGenerator()
        let half = { String(generator.next(), radix: 16) }
        self.runID = half() + half()
        self.changing = Mutex(Changing(configuration: configuration))
    }

    var loops: [LoopContext] { self.changing.withLock { $0.loops } }
    /// The settings that hold now.
    var current: ServerConfiguration { self.changing.withLock { $0.configuration } }
    var port: Int { self.current.port }

    func started(loops: [LoopContext]) { self.changing.withLock { $0.loops = loops } }
    func bound(port: Int) { self.changing.withLock { $0.configuration.port = port } }

    /// The operating system allows fewer connections than configured.
    func limitConnections(to count: Int) {
        self.maximumConnections.store(count, ordering: .relaxed)
        self.changing.withLock { $0.configuration.maximumConnections = count }
    }

    /// Runs `body` on every loop; the results arrive on `eventLoop`, in no particular order of execution.
    func gather<T: Sendable>(
        on eventLoop: any EventLoop,
        _ body: @escaping @Sendable (LoopContext) -> T
    ) -> EventLoopFuture<[T]> {
        let futures = self.loops.map { loop in loop.eventLoop.submit { body(loop) } }
        return EventLoopFuture.whenAllSucceed(futures, on: eventLoop)
    }

    /// Changes several settings or, if one cannot be changed, none. Loops follow within their next tick.
    func change(_ pairs: [(name: String, value: String)]) -> (name: String, change: ServerParameters.Change)? {
        let outcome = self.changing.withLock {
            changing -> (failed: (String, ServerParameters.Change)?, new: ServerConfiguration, loops: [LoopContext]) in
            var configuration = changing.configuration
            for (name, value) in pairs {
                let change = ServerParameters.set(name, to: value, in: &configuration)
                guard change == .changed else { return ((name, change), configuration, []) }
            }
            changing.configuration = configuration
            return (nil, configuration, changing.loops)
        }
        if let failed = outcome.failed { return failed }
        self.maximumConnections.store(outcome.new.maximumConnections, ordering: .relaxed)
        let new = outcome.new
        for loop in outcome.loops {
            loop.eventLoop.execute { loop.apply(new) }
        }
        return nil
    }
}
