/// Simulated time: what is to happen, in order. Two things at the same time happen in the order in which they were planned.
final class SimClock {
    private struct Entry {
        let time: UInt64
        let number: UInt64
        /// Where it is in `bodies`.
        let row: Int
    }

    /// Nanoseconds.
    private(set) var now: UInt64 = 1_000_000_000
    private var heap: [Entry] = []
    private var bodies: [(() -> Void)?] = []
    private var free: [Int] = []
    private var planned: UInt64 = 0
    private(set) var done = 0

    /// As the machine of a replica counts.
    var milliseconds: Int64 { Int64(self.now / 1_000_000) }

    func after(_ delay: UInt64, _ body: @escaping () -> Void) { self.at(self.now + delay, body) }

    func at(_ time: UInt64, _ body: @escaping () -> Void) {
        self.planned += 1
        let row = self.free.popLast() ?? self.bodies.count
        if row < self.bodies.count { self.bodies[row] = body } else { self.bodies.append(body) }
        self.heap.append(Entry(time: max(time, self.now), number: self.planned, row: row))
        var child = self.heap.count - 1
        while child > 0, self.isBefore(child, (child - 1) / 2) {
            self.heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Lets everything happen that is planned until then.
    func run(until end: UInt64) {
        while let first = self.heap.first, first.time <= end {
            self.now = first.time
            self.removeFirst()
            self.done += 1
            guard let body = self.bodies[first.row] else { continue }
            self.bodies[first.row] = nil
            self.free.append(first.row)
            body()
        }
        self.now = max(self.now, end)
    }

    /// Forgets what is planned.
    func clear() {
        self.heap = []
        self.bodies = []
        self.free = []
    }

    private func removeFirst() {
        let last = self.heap.removeLast()
        guard !self.heap.isEmpty else { return }
        self.heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < self.heap.count && self.isBefore(child, least) {
                least = child
            }
            guard least != parent else { return }
            self.heap.swapAt(parent, least)
            parent = least
        }
    }

    private func isBefore(_ a: Int, _ b: Int) -> Bool {
        (self.heap[a].time, self.heap[a].number) < (self.heap[b].time, self.heap[b].number)
    }
}

/// Nanoseconds.
func milliseconds(_ count: Int) -> UInt64 { UInt64(count) * 1_000_000 }
func microseconds(_ count: Int) -> UInt64 { UInt64(count) * 1_000 }
