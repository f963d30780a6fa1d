import Synchronization

/// Gives times to changes that come without one, in milliseconds since 1970. A stamp is never below one that was given
/// out before, in this process or, by the mark in the file, in one before it.
///
/// A clock that was set back would make changes older than what they change: an event behind its item's tombstone, or
/// behind what a version was trained until, counts for nothing. So stamps stand still until the clock has caught up.
/// Any thread may use it.
final class StampClock: Sendable {
    /// A clock that is farther behind than this is told of; less is what time servers do.
    static let toleranceMillis: Int64 = 10_000

    private let highest: Atomic<Int64>
    private let isBehind = Atomic<Bool>(false)
    private let wallClock: @Sendable () -> Duration
    private let notice: @Sendable (String) -> Void

    /// - Parameter highest: the mark in the file; nil in a new one.
    init(highest: Int64?, wallClock: @escaping @Sendable () -> Duration, notice: @escaping @Sendable (String) -> Void) {
        self.highest = Atomic(highest ?? Int64.min)
        self.wallClock = wallClock
        self.notice = notice
        self.tell(behind: self.behindMillis)
    }

    /// Returns the clock's time, or the highest stamp where that is higher. Does not block.
    func stamp() -> Int64 {
        let now = self.now
        let stamp = self.highest.max(now, ordering: .sequentiallyConsistent).newValue
        self.tell(behind: Self.distance(from: now, to: stamp))
        return stamp
    }

    /// No later stamp is below `time`, which another server has given out.
    func raise(to time: Int64) { self.highest.max(time, ordering: .sequentiallyConsistent) }

    /// Returns the highest stamp, which commits make durable. It is nil before the first.
    var mark: Int64? {
        let highest = self.highest.load(ordering: .sequentiallyConsistent)
        return highest == Int64.min ? nil : highest
    }

    /// Says how far the clock is behind the highest stamp. It is 0 where the clock is right.
    var behindMillis: Int64 { Self.distance(from: self.now, to: self.highest.load(ordering: .sequentiallyConsistent)) }

    /// It is nil while the clock is right, as far as anybody can tell.
    var problem: String? {
        let behind = self.behindMillis
        return behind > Self.toleranceMillis ? Self.sentence(behind) : nil
    }

    private var now: Int64 {
        // The sum is one of whole numbers: a quotient of durations is a Double, and may be one millisecond off.
        let (seconds, attoseconds) = self.wallClock().components
        let (millis, isOver) = seconds.multipliedReportingOverflow(by: 1_000)
        return isOver ? Int64.max : millis + attoseconds / 1_000_000_000_000_000
    }

    private static func distance(from now: Int64, to highest: Int64) -> Int64 {
        let (distance, isOver) = highest.subtractingReportingOverflow(now)
        return isOver ? 0 : max(0, distance)
    }

    /// Reports the clock once each time it falls behind, and once when it has caught up.
    private func tell(behind: Int64) {
        let isBehind = behind > Self.toleranceMillis
        guard self.isBehind.load(ordering: .relaxed) != isBehind,
            self.isBehind.exchange(isBehind, ordering: .relaxed) != isBehind
        else { return }
        self.notice(isBehind ? Self.sentence(behind) : "The clock has caught up with the state's last stamp")
    }

    private static func sentence(_ behind: Int64) -> String {
        "The clock is \(behind / 1_000) s behind the state's last stamp, at which stamps stand still until it has caught up: "
            + "set the machine's clock"
    }
}
