import Glibc

/// Unix time. Only for what people read; deadlines use `NIODeadline`.
enum WallClock {
    static func microseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
    }

    static func seconds() -> Int { Self.microseconds() / 1_000_000 }
}
