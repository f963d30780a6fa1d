/// The settings of a load: its server, its size and its length.
package struct LoadSettings: Sendable {
    package var host = "127.0.0.1"
    package var port = 7700
    /// Sent with AUTH on each connection; nil: none.
    package var password: String?

    package var connections = 32
    /// A connection may wait for so many requests at a time.
    package var pipeline = 1
    /// The connections are divided among so many event loops.
    package var threads = 1

    /// So many requests a second are due, at equal distances, whatever the server does. With nil a connection asks
    /// again when it has its answer.
    package var rate: Double?
    /// Sent before what is measured.
    package var warmup: Duration = .zero
    /// Requests are due, or sent, for so long behind the warm-up. Nil: until there were `requests`.
    package var duration: Duration?
    /// At most so many are measured. With nil all are until `duration` is over.
    package var requests: Int?
    /// Connecting and each reply may take so long. A run may also catch up for so long behind its end on requests that
    /// were due.
    package var timeout: Duration = .seconds(5)
    package var seed: UInt64 = 1

    package init() {}
}

/// One event loop's part of a load. Times are nanoseconds of the monotonic clock.
struct LoadShare: Sendable {
    let connections: Int
    let pipeline: Int
    let requests: Int?
    let nanosecondsPerRequest: Double?
    /// Loops take turns: the second one's first request is due `phase` behind the first one's.
    let phase: Double
    let warmup: UInt64
    let duration: UInt64?
    let timeout: UInt64
    let seed: UInt64

    init(_ settings: LoadSettings, thread: Int) {
        func part(_ whole: Int) -> Int { whole / settings.threads + (thread < whole % settings.threads ? 1 : 0) }
        self.connections = part(settings.connections)
        self.pipeline = settings.pipeline
        self.requests = settings.requests.map(part)
        let distance = settings.rate.map { 1e9 / $0 }
        self.nanosecondsPerRequest = distance.map { $0 * Double(settings.threads) }
        self.phase = (distance ?? 0) * Double(thread)
        self.warmup = settings.warmup.nanoseconds
        self.duration = settings.duration?.nanoseconds
        self.timeout = settings.timeout.nanoseconds
        self.seed = settings.seed &+ UInt64(thread) &* 0x9e37_79b9_7f4a_7c15
    }
}

extension Duration {
    /// It is never negative, and the largest number where it is too long.
    var nanoseconds: UInt64 {
        let parts = self.components
        guard parts.seconds >= 0, parts.attoseconds >= 0 else { return 0 }
        let (whole, overflow) = UInt64(parts.seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : whole &+ UInt64(parts.attoseconds) / 1_000_000_000
    }
}
