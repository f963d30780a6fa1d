import Synchronization

/// Counts the users' vectors that were solved for, and how long that took in all. Any thread may use it.
final class SolveCount: Sendable {
    private let solves = Atomic<Int>(0)
    private let nanos = Atomic<Int>(0)
    private let leftOut = Atomic<Int>(0)

    func count(_ spent: Duration) {
        self.solves.add(1, ordering: .relaxed)
        self.nanos.add(Int(spent / .nanoseconds(1)), ordering: .relaxed)
    }

    /// A user was resolved without the weights of so many events.
    func leftOut(_ events: Int) {
        guard events > 0 else { return }
        self.leftOut.add(events, ordering: .relaxed)
    }

    /// Events without whose weight users were resolved; one counts again each time that its user is.
    var weightsLeftOut: Int { self.leftOut.load(ordering: .relaxed) }

    var totals: (count: Int, nanos: Int) {
        (self.solves.load(ordering: .relaxed), self.nanos.load(ordering: .relaxed))
    }
}
