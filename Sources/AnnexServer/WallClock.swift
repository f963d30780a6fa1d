import Glibc
import NIOCore

/// Unix time. Only for what people read and for deadlines that others set; own deadlines use `NIODeadline`.
package enum WallClock {
    static func microseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
    }

    package static func milliseconds() -> Int64 { Int64(Self.microseconds() / 1_000) }

    /// How long a deadline has passed; nil where it has not, or where there is none: then no clock is read.
    package static func millisecondsPast(_ deadline: Int64?) -> Int64? {
        guard let deadline else { return nil }
        let now = Self.milliseconds()
        return now > deadline ? now - deadline : nil
    }

    /// The uptime in nanoseconds at a Unix time in milliseconds, as far as the clock tells now; nil where there is none.
    static func uptime(at time: Int64?) -> UInt64? {
        guard let time else { return nil }
        let (left, isOver) = max(0, time.subtractingReportingOverflow(Self.milliseconds()).partialValue)
            .multipliedReportingOverflow(by: 1_000_000)
        let (end, isTooLate) = NIODeadline.now().uptimeNanoseconds.addingReportingOverflow(UInt64(left))
        return isOver || isTooLate ? .max : end
    }

    static func seconds() -> Int { Self.microseconds() / 1_000_000 }
}
