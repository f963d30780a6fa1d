import Glibc
import NIOCore

enum LoadClock {
    /// Nanoseconds of the monotonic clock, the one of `NIODeadline`.
    static func now() -> UInt64 { NIODeadline.now().uptimeNanoseconds }

    /// Processor time of the calling thread, in nanoseconds.
    static func threadProcessorTime() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(max(time.tv_sec, 0)) &* 1_000_000_000 &+ UInt64(max(time.tv_nsec, 0))
    }
}

extension UInt64 {
    func addingClamped(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = self.addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
