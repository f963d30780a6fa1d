import Glibc

/// Reads the processor time of the calling thread. Each look costs a system call: it is for what happens once in a
/// turn, not in a command.
package enum ThreadClock {
    package static func nanoseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
}
