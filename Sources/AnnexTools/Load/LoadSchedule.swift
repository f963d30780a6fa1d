/// Says when the requests of an open loop are due: at equal distances, however late the server answers.
///
/// A latency that counts from `due` has in it the time for which a request waited because earlier ones were answered
/// late; counted from the moment of sending, a server that stalls looks well, as nothing is sent meanwhile (coordinated
/// omission).
struct LoadSchedule {
    private let begin: Double
    private let distance: Double
    private let warmup: Int
    private let count: Int
    private var taken = 0

    /// - Parameter begin: when the first is due, in nanoseconds.
    init(begin: UInt64, share: LoadShare, nanosecondsPerRequest: Double) {
        self.begin = Double(begin) + share.phase
        self.distance = nanosecondsPerRequest
        func before(_ time: Double) -> Int { Int(((time - share.phase) / nanosecondsPerRequest).rounded(.up)) }
        let warmup = max(before(Double(share.warmup)), 0)
        self.warmup = warmup
        let byTime = share.duration.map { max(before(Double(share.warmup) + Double($0)), warmup) } ?? Int.max
        self.count = min(byTime, share.requests.map { warmup + $0 } ?? Int.max)
    }

    /// Counts requests that were not taken yet.
    var left: Int { self.count - self.taken }

    /// Returns the time when the next is due. It is nil where none is left.
    var due: UInt64? { self.taken < self.count ? UInt64(self.begin + Double(self.taken) * self.distance) : nil }

    /// Tells whether the next is behind the warm-up.
    var isMeasured: Bool { self.taken >= self.warmup }

    /// Returns the time when the last is over, as planned: its time and one distance.
    var end: UInt64 { UInt64(self.begin + Double(self.count) * self.distance) }

    mutating func take() { self.taken += 1 }
}
