import AnnexCore

/// Items a walk has looked at: one epoch number per ordinal, grown at the first walk.
struct VisitedMarks {
    private var marks: [UInt32] = []
    private var epoch: UInt32 = 0
    /// Counts items of the present walk.
    private(set) var count = 0

    mutating func begin(rows: Int) {
        self.count = 0
        if self.marks.count != rows || self.epoch == UInt32.max {
            self.marks = [UInt32](repeating: 0, count: rows)
            self.epoch = 0
        }
        self.epoch += 1
    }

    /// Returns false where the ordinal had been seen.
    @inline(__always)
    mutating func insert(_ ordinal: Int32) -> Bool {
        guard self.marks[Int(ordinal)] != self.epoch else { return false }
        self.marks[Int(ordinal)] = self.epoch
        self.count += 1
        return true
    }
}

/// Items to look at next, the best on top: a binary heap that keeps its storage.
struct Frontier {
    private var heap: [Hit] = []

    mutating func removeAll() { self.heap.removeAll(keepingCapacity: true) }

    mutating func push(_ hit: Hit) {
        self.heap.append(hit)
        var child = self.heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard self.heap[child].score > self.heap[parent].score else { break }
            self.heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func pop() -> Hit? {
        guard let best = self.heap.first else { return nil }
        let last = self.heap.removeLast()
        guard !self.heap.isEmpty else { return best }
        self.heap[0] = last
        var parent = 0
        while true {
            let left = 2 * parent + 1
            guard left < self.heap.count else { break }
            var child = left
            if left + 1 < self.heap.count, self.heap[left + 1].score > self.heap[left].score { child = left + 1 }
            guard self.heap[child].score > self.heap[parent].score else { break }
            self.heap.swapAt(parent, child)
            parent = child
        }
        return best
    }
}
