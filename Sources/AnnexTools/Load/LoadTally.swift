import AnnexCore
import Histogram

/// The counts of the measured part of a load, by one event loop or by all.
struct LoadTally: Sendable {
    /// The value is 1 hour, in nanoseconds. What takes longer counts as that.
    private static let longest: UInt64 = 3_600_000_000_000
    /// So many codes of errors are told apart. A server with more gets one entry for the rest.
    private static let maximumCodes = 32

    /// Holds the latency by command, in nanoseconds: from the time when a request was due, or sent in a closed loop, to
    /// its reply.
    private(set) var latency: [Histogram<UInt64>]
    /// Holds the latency of all commands, from the sending.
    private(set) var service = Self.histogram()
    private(set) var errors: [String: LoadResult.ErrorCount] = [:]
    private(set) var bytesIn = 0
    var bytesOut = 0
    /// Counts requests that were due and never sent.
    var unsent = 0
    /// Counts the processor time that the event loop took.
    var processorNanoseconds: UInt64 = 0
    /// The time from the end of the warm-up to the last reply, or to the planned end of an open loop where that is later.
    var nanoseconds: UInt64 = 0

    init(commands: Int) { self.latency = (0..<commands).map { _ in Self.histogram() } }

    /// Makes a histogram with three significant digits, and no finer than 64 ns.
    private static func histogram() -> Histogram<UInt64> {
        Histogram(
            lowestDiscernibleValue: 64,
            highestTrackableValue: Self.longest,
            numberOfSignificantValueDigits: .three
        )
    }

    mutating func record(_ flight: LoadFlight, repliedAt now: UInt64, bytes: Int) {
        self.latency[flight.command].record(min(now - min(flight.due, now), Self.longest))
        self.service.record(min(now - min(flight.sent, now), Self.longest))
        self.bytesIn += bytes
    }

    mutating func record(error text: [UInt8]) {
        var code = Printable.escape(text.prefix { $0 != UInt8(ascii: " ") }, limit: 32)
        if self.errors[code] == nil, self.errors.count >= Self.maximumCodes { code = "others" }
        self.errors[code, default: .init(count: 0, example: Printable.escape(text, limit: 200))].count += 1
    }

    mutating func add(_ other: LoadTally) {
        for command in self.latency.indices { self.latency[command].add(other.latency[command]) }
        self.service.add(other.service)
        self.errors.merge(other.errors) { .init(count: $0.count + $1.count, example: $0.example) }
        self.bytesIn += other.bytesIn
        self.bytesOut += other.bytesOut
        self.unsent += other.unsent
        self.processorNanoseconds += other.processorNanoseconds
        self.nanoseconds = max(self.nanoseconds, other.nanoseconds)
    }
}

/// Describes a request that was sent and not answered yet. Times are nanoseconds of the monotonic clock.
struct LoadFlight {
    let command: Int
    let due: UInt64
    let sent: UInt64
    let isMeasured: Bool
}
