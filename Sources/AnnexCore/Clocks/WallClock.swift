import Glibc

/// Reads Unix time. It is for what people read and for deadlines that others set. It may be set back, so own deadlines
/// use a monotonic clock.
package enum WallClock {
    package static func microseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
    }

    package static func milliseconds() -> Int64 { Int64(Self.microseconds() / 1_000) }

    /// Returns how long a deadline has passed; nil where it has not, or where there is none: then no clock is read.
    package static func millisecondsPast(_ deadline: Int64?) -> Int64? {
        guard let deadline else { return nil }
        let now = Self.milliseconds()
        return now > deadline ? now - deadline : nil
    }

    package static func seconds() -> Int { Self.microseconds() / 1_000_000 }
}
