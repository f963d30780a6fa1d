import Synchronization

/// Tells a piece of work that nobody waits for its result any more: its client is gone, or its time is over. Any thread
/// may use it.
///
/// The work looks at it every some thousand rows, and for each user. A look costs one load, and one look at the clock where
/// there is a deadline: some 30 ns.
package final class StopSignal: Sendable {
    private let isRaised = Atomic<Bool>(false)
    private let wasSeen = Atomic<Bool>(false)
    /// Holds the deadline in nanoseconds. Without one it is the largest number.
    private let deadline: UInt64
    private let now: @Sendable () -> UInt64

    /// - Parameters:
    ///   - deadline: in nanoseconds, as `now` counts them.
    ///   - now: the clock, which only a deadline needs.
    package init(deadline: UInt64 = .max, now: @escaping @Sendable () -> UInt64 = { 0 }) {
        self.deadline = deadline
        self.now = now
    }

    /// Has the work stop at its next look.
    package func raise() { self.isRaised.store(true, ordering: .relaxed) }

    /// Tells whether to stop. Who is told to leaves the rest undone, and what is done so far is no result.
    package func shouldStop() -> Bool {
        guard self.isRaised.load(ordering: .relaxed) || (self.deadline != .max && self.now() > self.deadline) else {
            return false
        }
        self.wasSeen.store(true, ordering: .relaxed)
        return true
    }

    /// Tells whether the work was told to stop, so that what it made is no result.
    package var wasHeeded: Bool { self.wasSeen.load(ordering: .relaxed) }
}
