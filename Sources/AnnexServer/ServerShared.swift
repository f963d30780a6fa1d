import AnnexWire
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// Holds one part of `INFO`: `# Title` and its `name:value` lines.
package struct InfoSection: Sendable {
    package let title: String
    package let lines: [(name: String, value: String)]

    package init(_ title: String, _ lines: [(name: String, value: String)]) {
        self.title = title
        self.lines = lines
    }
}

/// Holds what all loops of one server share: constants, a few atomics that change per connection or per large buffer
/// (never per command), and a lock that only `CONFIG SET` and start take.
final class ServerShared: Sendable {
    let configuration: ServerConfiguration
    let table = CommandTable.standard
    let logger: Logger
    /// Holds commands that leave the loops.
    let work: WorkQueue
    /// Returns sections that other parts add to `INFO`. It is called on a thread of its own, so it may take a while.
    let info: @Sendable () -> [InfoSection]
    /// It is nil where this server stands alone.
    let cluster: ClusterView?
    /// Returns how many keys DBSIZE would tell, for INFO.
    let keyCount: @Sendable () -> Int
    let startedAt = NIODeadline.now()
    let runID: String

    /// Counts connections open, over all loops.
    let connections = Atomic<Int>(0)
    let rejected = Atomic<Int>(0)
    let maximumConnections: Atomic<Int>
    /// Counts clients that have had their last reply and may still send; they are none of `connections`.
    let lingering = Atomic<Int>(0)
    static let maximumLingering = 64
    /// The server waits so long for them to end by themselves.
    static let linger = TimeAmount.seconds(1)
    let nextClient = Atomic<UInt64>(1)
    let nextSlowlogEntry = Atomic<Int>(0)
    /// Counts bytes held for clients: what the loops last published (each within `publishStep` of the truth), and
    /// replies that other threads make.
    let heldBytes = Atomic<Int>(0)
    /// A loop tells the server about changes of its held bytes in steps of this many.
    static let publishStep = 64 << 10
    let isRelieving = Atomic<Bool>(false)
    /// The server is about to end.
    let isLeaving = Atomic<Bool>(false)
    let guesses = PasswordGuesses()

    /// Holds the configuration, with the changes of CONFIG SET and of the system, and the real port.
    private let changing: Mutex<ServerConfiguration>
    /// Holds who closes connections where too much is held: see `relieve`.
    let relief = Mutex<(@Sendable (_ onlyStalled: Bool) -> Void)?>(nil)

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
        self.changing = Mutex(configuration)
    }

    /// Returns the settings that hold now.
    var current: ServerConfiguration { self.changing.withLock { $0 } }
    var port: Int { self.current.port }

    /// Returns whether one more client may linger, which then counts as lingering.
    func beginLingering() -> Bool {
        if self.lingering.add(1, ordering: .relaxed).newValue <= Self.maximumLingering { return true }
        self.lingering.subtract(1, ordering: .relaxed)
        return false
    }

    func endLingering() { self.lingering.subtract(1, ordering: .relaxed) }

    func bound(port: Int) { self.changing.withLock { $0.port = port } }

    /// The operating system allows fewer connections than configured.
    func limitConnections(to count: Int) {
        self.maximumConnections.store(count, ordering: .relaxed)
        self.changing.withLock { $0.maximumConnections = count }
    }

    /// Changes several settings or, if one cannot be changed, none. The loops have copies of their own: see `ServerLoops`.
    func change(_ pairs: [(name: String, value: String)]) -> (name: String, change: ServerParameters.Change)? {
        let failed = self.changing.withLock { current -> (String, ServerParameters.Change)? in
            var configuration = current
            for (name, value) in pairs {
                let change = ServerParameters.set(name, to: value, in: &configuration)
                guard change == .changed else { return (name, change) }
            }
            current = configuration
            return nil
        }
        if let failed { return failed }
        self.maximumConnections.store(self.current.maximumConnections, ordering: .relaxed)
        return nil
    }
}
