import Glibc

/// Stands for the disk and the clocks, as a store asks for them. Tests give their own, so that disks fail and clocks
/// stand still.
package struct StateSystem: Sendable {
    /// Called by the writer before a commit of that many changes. Another result than 0 is taken for the commit's.
    package var commit: @Sendable (_ changes: Int) -> Int32 = { _ in 0 }
    /// Returns how full the file system of a folder is, 0 to 1.
    package var fullness: @Sendable (_ folder: String) -> Double = FileSystemSpace.fullness
    /// Tells whether there is space left for a file in a folder.
    package var hasSpace: @Sendable (_ folder: String) -> Bool = FileSystemSpace.isLeft
    /// Holds a clock that never goes back. Its origin means nothing.
    package var now: @Sendable () -> Duration = { StateSystem.read(CLOCK_MONOTONIC) }
    /// Reads the processor time of the thread that asks.
    package var work: @Sendable () -> Duration = { StateSystem.read(CLOCK_THREAD_CPUTIME_ID) }
    /// Reads the time since 1970, by a clock that may be set.
    package var wallClock: @Sendable () -> Duration = { StateSystem.read(CLOCK_REALTIME) }

    /// Lets the calling thread wait for so long, by the clock of `now`. Blocks.
    package var sleep: @Sendable (Duration) -> Void = { time in
        usleep(UInt32(clamping: Int(time / .microseconds(1))))
    }

    package init() {}

    /// Reads milliseconds since 1970, by a clock that may be set.
    func wallMilliseconds() -> Int64 { Int64(clamping: Int(self.wallClock() / .milliseconds(1))) }

    private static func read(_ clock: clockid_t) -> Duration {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
