import AnnexWire
import Logging
import NIOCore
import Synchronization

/// Holds everything that belongs to one event loop: its handler, its connections, its numbers, its spare buffers.
///
/// Unchecked because every member but `index`, `eventLoop` and `shared` (constants) and `delivered` (a lock) is read and written on `eventLoop`
/// only; other threads reach it by `eventLoop.execute` and `submit`.
final class LoopContext: @unchecked Sendable {
    /// Replies of one turn are gathered in buffers of this capacity.
    static let bufferCapacity = 16 << 10
    private static let spareBufferLimit = 8
    private static let largestSpareBuffer = 256 << 10

    let index: Int
    let eventLoop: any EventLoop
    let shared: ServerShared

    let handler: any CommandHandler
    @exclusivity(unchecked) var metrics: LoopMetrics
    var slowlog: Slowlog
    private(set) var settings: ServerConfiguration
    private(set) var slowNanoseconds: Int
    /// Holds the loop's view of the cluster. It is nil where this server stands alone.
    @exclusivity(unchecked) var cluster: ClusterView.Snapshot?

    private let delivered = Mutex<[(connection: any LoopConnection, number: Int, write: ReplyPromise.Writing)]>([])
    private(set) var connections: [UInt64: any LoopConnection] = [:]
    private(set) var heldBytes = 0
    private var publishedBytes = 0
    private var spareBuffers: [ByteBuffer] = []
    private var yielded: [any LoopConnection] = []
    private var resumeScheduled = false
    private var sweep: RepeatedTask?
    private var drainStopsReadingAt: NIODeadline?
    private(set) var isDraining = false
    private var drained: EventLoopPromise<Void>?

    init(index: Int, eventLoop: any EventLoop, shared: ServerShared, handler: any CommandHandler) {
        self.index = index
        self.eventLoop = eventLoop
        self.shared = shared
        self.handler = handler
        self.metrics = LoopMetrics(commands: shared.table.specifications.count)
        self.settings = shared.current
        self.slowlog = Slowlog(length: self.settings.slowlogLength)
        self.slowNanoseconds = Self.threshold(self.settings)
    }

    // MARK: Settings

    func apply(_ settings: ServerConfiguration) {
        self.settings = settings
        self.slowlog.length = settings.slowlogLength
        self.slowNanoseconds = Self.threshold(settings)
    }

    private static func threshold(_ settings: ServerConfiguration) -> Int {
        settings.slowlogMicroseconds < 0 ? Int.max : settings.slowlogMicroseconds * 1_000
    }

    // MARK: Connections

    func add(_ connection: any LoopConnection) {
        self.connections[connection.state.id] = connection
        self.metrics.connectionsReceived &+= 1
    }

    func remove(_ connection: any LoopConnection) {
        guard self.connections.removeValue(forKey: connection.state.id) != nil else { return }
        self.finishDrainIfEmpty()
    }

    /// Copies the numbers, with what only a walk over the connections tells. O(connections).
    func snapshot() -> LoopMetrics {
        var copy = self.metrics
        copy.connections = self.connections.count
        copy.heldBytes = self.heldBytes
        for connection in self.connections.values {
            if connection.isWaiting { copy.waiting += 1 }
            copy.largestInput = max(copy.largestInput, connection.held.input)
            copy.largestOutput = max(copy.largestOutput, connection.held.output)
        }
        return copy
    }

    func resetMetrics() { self.metrics = LoopMetrics(commands: self.shared.table.specifications.count) }

    // MARK: Reply buffers

    /// Lends an empty buffer for the replies of one turn. In the steady state nothing is allocated: the loop has a few
    /// spare ones.
    func borrowBuffer() -> ByteBuffer {
        self.spareBuffers.popLast() ?? ByteBufferAllocator().buffer(capacity: Self.bufferCapacity)
    }

    /// Takes the buffer back. `written`: the socket took all of it, so nothing else refers to its bytes.
    func giveBack(_ buffer: consuming ByteBuffer, written: Bool) {
        guard written, buffer.capacity <= Self.largestSpareBuffer, self.spareBuffers.count < Self.spareBufferLimit
        else { return }
        buffer.clear()
        self.spareBuffers.append(buffer)
    }

    // MARK: Held bytes

    /// One connection now holds `change` more (or fewer) bytes.
    func heldBytesChanged(by change: Int) {
        guard change != 0 else { return }
        self.heldBytes += change
        if abs(self.heldBytes - self.publishedBytes) >= ServerShared.publishStep { self.publishHeldBytes() }
    }

    func publishHeldBytes() {
        let change = self.heldBytes - self.publishedBytes
        self.publishedBytes = self.heldBytes
        let (_, total) = self.shared.heldBytes.add(change, ordering: .relaxed)
        if change > 0, total > self.shared.configuration.allClientsBytes { self.shared.makeRoom() }
    }

    /// Returns the connection that holds most, of all or of those that take none of their replies. O(connections).
    func biggest(onlyStalled: Bool) -> (id: UInt64, bytes: Int)? {
        let now = NIODeadline.now()
        return self.connections.values.filter { !onlyStalled || $0.isStalled(now, for: .seconds(1)) }
            .map { (id: $0.state.id, bytes: $0.held.total) }
            .max { $0.bytes < $1.bytes }
    }

    func evict(_ id: UInt64, _ reason: String) {
        self.connections[id]?.evict(reason)
    }

    // MARK: Replies from elsewhere

    /// Hands a reply over from any thread. Those that come together, as all of one commit do, wake the loop once.
    func deliver(_ write: @escaping ReplyPromise.Writing, number: Int, to connection: any LoopConnection) {
        let isFirst = self.delivered.withLock { waiting in
            waiting.append((connection, number, write))
            return waiting.count == 1
        }
        guard isFirst else { return }
        self.eventLoop.execute {
            let replies = self.delivered.withLock { waiting in
                defer { waiting.removeAll(keepingCapacity: true) }
                return waiting
            }
            for (connection, number, write) in replies { connection.delivered(number, write) }
        }
    }

    // MARK: Turns

    /// Queues a connection that has more commands than one turn answers.
    func yield(_ connection: any LoopConnection) {
        self.yielded.append(connection)
        self.scheduleResume()
    }

    /// Sets one timer for the whole queue. It is due only after the loop has looked at its sockets again: tasks that
    /// are due at once run before the sockets, and a queue that refills itself would starve them.
    private func scheduleResume() {
        guard !self.resumeScheduled else { return }
        self.resumeScheduled = true
        self.eventLoop.assumeIsolated().scheduleTask(in: .microseconds(20)) { self.resume() }
    }

    /// Connections that yield once more in here set no timer: by the end of the round it would be due, and the next round
    /// would run before the loop looks at its sockets.
    private func resume() {
        let queue = self.yielded
        self.yielded.removeAll(keepingCapacity: true)
        let end = NIODeadline.now() + .milliseconds(3)
        for (position, connection) in queue.enumerated() {
            if position > 0, NIODeadline.now() > end {
                self.yielded.append(contentsOf: queue[position...])
                break
            }
            connection.turnBegan()
        }
        self.resumeScheduled = false
        if !self.yielded.isEmpty { self.scheduleResume() }
    }

    // MARK: Deadlines

    /// One timer per loop looks at all connections, instead of one timer per connection.
    func startSweeping() {
        let interval = TimeAmount(self.shared.configuration.sweepInterval)
        self.sweep = self.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            let now = NIODeadline.now()
            for connection in self.connections.values { connection.checkDeadlines(now) }
        }
    }

    // MARK: Drain

    /// Answers what clients have sent, then closes them; new bytes are read until `readUntil`. The promise succeeds when
    /// no connection is left.
    func drain(readUntil: NIODeadline, promise: EventLoopPromise<Void>) {
        self.isDraining = true
        self.drained = promise
        self.drainStopsReadingAt = readUntil
        self.finishDrainIfEmpty()
        self.drainStep()
    }

    /// Takes a step of a drain. A connection that has been quiet for a whole step has nothing in the kernel's buffer
    /// that came before the step, because the loop reads its sockets before it runs a timer.
    private func drainStep() {
        guard !self.connections.isEmpty else { return }
        let late = NIODeadline.now() >= self.drainStopsReadingAt ?? .now()
        for connection in self.connections.values { connection.drainStep(late: late) }
        self.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(10)) { self.drainStep() }
    }

    /// Closes what is left without waiting for anything.
    func abandon() {
        for connection in self.connections.values { connection.closeNow() }
    }

    /// Nothing comes back to the loop from now on.
    func stop() {
        self.sweep?.cancel()
        self.sweep = nil
        self.handler.stop()
    }

    private func finishDrainIfEmpty() {
        guard self.isDraining, self.connections.isEmpty, let promise = self.drained else { return }
        self.drained = nil
        promise.succeed()
    }
}
