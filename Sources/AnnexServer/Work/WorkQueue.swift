import AnnexCore
import AnnexWire
import Glibc
import NIOCore
import NIOPosix
import Synchronization

/// Holds commands that leave the loop and wait for a thread. Each class has its own threads, first come first served. A
/// connection has one command here at a time, so that order is fair to connections.
///
/// A job has a deadline and ends when its client goes away: one that waits is dropped, one that runs is told to stop. Jobs are
/// counted: by number, and by the bytes that its request holds.
final class WorkQueue: Sendable {
    /// Says why work did not run.
    enum Refusal {
        case shutdown, late
        /// The job's deadline passed this many milliseconds before its turn came.
        case expired(Int64)
    }

    /// Holds one command that waits for a thread or runs on one. `cancel` lets go of a request that still waits.
    package final class Job: Sendable {
        typealias Body = @Sendable (Refusal?, StopSignal) -> Void
        private let body: Mutex<Body?>
        fileprivate let stop: StopSignal

        /// - Parameter deadline: uptime in nanoseconds.
        init(deadline: UInt64, _ body: @escaping Body) {
            self.body = Mutex(body)
            self.stop = StopSignal(deadline: deadline, now: { NIODeadline.now().uptimeNanoseconds })
        }

        /// Drops the job, or tells it to stop where it runs already. Any thread may call it.
        func cancel() {
            self.stop.raise()
            _ = self.take()
        }

        fileprivate func take() -> Body? {
            self.body.withLock { body in
                defer { body = nil }
                return body
            }
        }
    }

    private let pools: [WorkClass: NIOThreadPool]
    private let maximumJobs: Int
    private let patience: TimeAmount
    private let jobs = Atomic<Int>(0)

    /// - Parameters:
    ///   - queryThreads: for the class `query`; the others have one each.
    ///   - maximumJobs: that may wait or run.
    ///   - patience: how long a query may wait and run.
    init(queryThreads: Int, maximumJobs: Int, patience: Duration) {
        self.pools = [
            .query: NIOThreadPool(numberOfThreads: queryThreads), .report: NIOThreadPool(numberOfThreads: 1),
        ]
        self.maximumJobs = maximumJobs
        self.patience = TimeAmount(patience)
    }

    func start() { for pool in self.pools.values { pool.start() } }

    /// Ends the threads when what runs has ended. What waits is told that it will not run.
    func shutdown() async { for pool in self.pools.values { try? await pool.shutdownGracefully() } }

    /// Counts commands that wait or run.
    var count: Int { self.jobs.load(ordering: .relaxed) }

    /// Makes a report that no connection has to wait for in line.
    func report<T: Sendable>(
        on eventLoop: any EventLoop,
        _ body: @escaping @Sendable () -> T
    ) -> EventLoopFuture<T> {
        guard let pool = self.pools[.report] else {
            return eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        return pool.runIfActive(eventLoop: eventLoop, body)
    }

    /// Takes a command. Its body is called once, on a thread of the class, unless it is cancelled before.
    ///
    /// - Parameter expiry: Unix time in milliseconds after which the command must not begin, and a query must not go on.
    /// - Returns: nil where there are too many.
    func submit(_ workClass: WorkClass, expiry: Int64? = nil, _ body: @escaping Job.Body) -> Job? {
        guard let pool = self.pools[workClass] else { return nil }
        guard self.jobs.add(1, ordering: .relaxed).newValue <= self.maximumJobs else {
            self.jobs.subtract(1, ordering: .relaxed)
            return nil
        }
        let deadline = workClass == .query ? NIODeadline.now() + self.patience : .distantFuture
        let patient = workClass == .query ? deadline.uptimeNanoseconds : .max
        let job = Job(deadline: min(patient, WallClock.uptime(at: expiry) ?? .max), body)
        pool.submit { state in
            defer { self.jobs.subtract(1, ordering: .relaxed) }
            guard let body = job.take() else { return }
            Self.giveWayToLoops()
            guard case .active = state else { return body(.shutdown, job.stop) }
            if let late = WallClock.millisecondsPast(expiry) { return body(.expired(late), job.stop) }
            body(NIODeadline.now() > deadline ? .late : nil, job.stop)
        }
        return job
    }

    /// Normal priority is 0; each step takes a fifth off a thread's share where processors are short.
    private static let niceness: Int32 = 5

    /// Lowers the priority of the calling thread, so that a long command takes the processor from no loop that has
    /// something to do. It costs one system call, and a thread that has it keeps it.
    private static func giveWayToLoops() {
        _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.niceness)
    }
}
