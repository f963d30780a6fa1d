import Glibc
import Synchronization

/// Lets readers in, except for moments in which the map changes. Any number of readers, one that closes.
///
/// Costs a reader two atomic additions. A closed gate opens again by itself after `patienceMilliseconds` where readers
/// are still inside, so it can neither hold reads up for long nor lock a thread that is inside twice.
final class ReadGate: Sendable {
    private static let closed = 1 << 62
    private static let patienceMilliseconds = 8
    private static let pollMicroseconds: UInt32 = 50

    /// Readers inside, and the bit `closed`.
    private let state = Atomic<Int>(0)

    func enter() {
        while true {
            let (_, now) = self.state.wrappingAdd(1, ordering: .sequentiallyConsistent)
            if now & Self.closed == 0 { return }
            self.state.wrappingSubtract(1, ordering: .sequentiallyConsistent)
            while self.state.load(ordering: .acquiring) & Self.closed != 0 { usleep(Self.pollMicroseconds) }
        }
    }

    func leave() { self.state.wrappingSubtract(1, ordering: .sequentiallyConsistent) }

    /// Runs `body` while nobody is inside; tries again and again for at most `limit`. Blocks.
    ///
    /// - Returns: how long readers were kept out at most, at a time; nil where they did not leave, and `body` did not
    ///   run.
    func whileEmpty(limit: Duration, _ body: () -> Void) -> Duration? {
        let clock = ContinuousClock()
        let end = clock.now + limit
        var longest = Duration.zero
        repeat {
            let start = clock.now
            self.state.bitwiseOr(Self.closed, ordering: .sequentiallyConsistent)
            let patience = start + .milliseconds(Self.patienceMilliseconds)
            var isEmpty = self.state.load(ordering: .sequentiallyConsistent) == Self.closed
            while !isEmpty, clock.now < patience {
                usleep(Self.pollMicroseconds)
                isEmpty = self.state.load(ordering: .sequentiallyConsistent) == Self.closed
            }
            if isEmpty { body() }
            self.state.bitwiseAnd(~Self.closed, ordering: .sequentiallyConsistent)
            longest = max(longest, clock.now - start)
            if isEmpty { return longest }
            usleep(UInt32(Self.patienceMilliseconds) * 1_000)
        } while clock.now < end
        return nil
    }
}
