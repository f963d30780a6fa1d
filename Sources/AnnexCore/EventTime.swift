/// Checks times of events and histories, which are whole milliseconds since 1970.
///
/// Other units are told by their size. Seconds of the years 1973 to 2969 are milliseconds of 1970, and microseconds
/// since 1974 are milliseconds beyond 2100. A time of the first 27 hours of 1970 is taken as it is: no clock says that,
/// but whoever counts events from 0 does.
package enum EventTime {
    /// 2100-01-01, the first time that is refused.
    package static let end: Int64 = 4_102_444_800_000

    private static let secondsOf1973: Int64 = 100_000_000
    private static let endOf1970: Int64 = 31_536_000_000
    private static let microsecondsOf1973: Int64 = 100_000_000_000_000
    private static let nanosecondsOf1973: Int64 = 100_000_000_000_000_000

    /// Returns the fault of a time, as words that follow "the time …"; nil where nothing is. O(1).
    package static func problem(_ time: Int64) -> String? {
        let wanted = "times are milliseconds since 1970"
        switch time {
        case ..<0: return "is before 1970: \(wanted)"
        case Self.secondsOf1973..<Self.endOf1970:
            return "is in 1970: \(wanted), and this seems to be seconds; multiply by 1000"
        case Self.nanosecondsOf1973...:
            return "is beyond the year 2100: \(wanted), and this seems to be nanoseconds; divide by 1000000"
        case Self.microsecondsOf1973...:
            return "is beyond the year 2100: \(wanted), and this seems to be microseconds; divide by 1000"
        case Self.end...: return "is beyond the year 2100: \(wanted)"
        default: return nil
        }
    }

    /// Tells whether a whole number is more likely a Unix time, in whatever unit, than a count: from September 2001 on.
    package static func isLikely(_ number: Double) -> Bool {
        (1e9...9e18).contains(number) && number == number.rounded()
    }
}
