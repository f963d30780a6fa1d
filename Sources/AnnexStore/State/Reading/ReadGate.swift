import Synchronization

/// Lets readers in, except for moments in which the map changes. Any number of readers, one that closes.
///
/// Costs a reader two atomic additions. A closed gate opens again by itself after `patience` where readers
/// are still inside, so it can neither hold reads up for long nor lock a thread that is inside twice.
package final class ReadGate: Sendable {
    private static let closed = 1 << 62
    private static let patience: Duration = .milliseconds(8)
    private static let poll: Duration = .microseconds(50)

    /// Counts the readers inside, and has the bit `closed`.
    private let state = Atomic<Int>(0)
    private let system: StateSystem

    package init(_ system: StateSystem) { self.system = system }

    package func enter() {
        while true {
            let (_, now) = self.state.wrappingAdd(1, ordering: .sequentiallyConsistent)
            if now & Self.closed == 0 { return }
            self.state.wrappingSubtract(1, ordering: .sequentiallyConsistent)
            while self.state.load(ordering: .acquiring) & Self.closed != 0 { self.system.sleep(Self.poll) }
        }
    }

    package func leave() { self.state.wrappingSubtract(1, ordering: .sequentiallyConsistent) }

    /// Runs `body` while nobody is inside; tries again and again for at most `limit`. Blocks.
    ///
    /// - Returns: how long readers were kept out at most, at a time; nil where they did not leave, and `body` did not
    ///   run.
    package func whileEmpty(limit: Duration, _ body: () -> Void) -> Duration? {
        let end = self.system.now() + limit
        var longest = Duration.zero
        repeat {
            let start = self.system.now()
            self.state.bitwiseOr(Self.closed, ordering: .sequentiallyConsistent)
            let patience = start + Self.patience
            var isEmpty = self.state.load(ordering: .sequentiallyConsistent) == Self.closed
            while !isEmpty, self.system.now() < patience {
                self.system.sleep(Self.poll)
                isEmpty = self.state.load(ordering: .sequentiallyConsistent) == Self.closed
            }
            if isEmpty { body() }
            self.state.bitwiseAnd(~Self.closed, ordering: .sequentiallyConsistent)
            longest = max(longest, self.system.now() - start)
            if isEmpty { return longest }
            self.system.sleep(Self.patience)
        } while self.system.now() < end
        return nil
    }
}
