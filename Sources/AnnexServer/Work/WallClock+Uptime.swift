import AnnexCore
import NIOCore

extension WallClock {
    /// Returns the uptime in nanoseconds at a Unix time in milliseconds, as far as the clock tells now; nil where there
    /// is none.
    static func uptime(at time: Int64?) -> UInt64? {
        guard let time else { return nil }
        let (left, isOver) = max(0, time.subtractingReportingOverflow(Self.milliseconds()).partialValue)
            .multipliedReportingOverflow(by: 1_000_000)
        let (end, isTooLate) = NIODeadline.now().uptimeNanoseconds.addingReportingOverflow(UInt64(left))
        return isOver || isTooLate ? .max : end
    }
}
