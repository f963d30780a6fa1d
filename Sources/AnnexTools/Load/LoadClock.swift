import AnnexCore
import NIOCore

enum LoadClock {
    /// Reads nanoseconds of the monotonic clock, the one of `NIODeadline`.
    static func now() -> UInt64 { NIODeadline.now().uptimeNanoseconds }

    /// Reads the processor time of the calling thread, in nanoseconds.
    static func threadProcessorTime() -> UInt64 { UInt64(clamping: ThreadClock.nanoseconds()) }
}

extension UInt64 {
    func addingClamped(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = self.addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
