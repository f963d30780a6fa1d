import AnnexCore

/// Keeps the k best of a stream of hits, in a binary heap with the worst on top. Equal scores are broken by the smaller
/// ordinal.
///
/// A score that is no number (a float32 product that overflowed both ways) ranks last, so that the order is total and k
/// hits are kept whatever the scores are.
///
/// O(log k) per accepted hit, nothing is allocated once the storage has grown to k.
struct TopPool {
    private(set) var heap: [Hit] = []
    private var k = 0
    private let sign: Float

    init(metric: Metric) { self.sign = metric.higherIsBetter ? 1 : -1 }

    mutating func begin(k: Int) {
        self.k = k
        self.heap.removeAll(keepingCapacity: true)
        self.heap.reserveCapacity(k)
    }

    /// Larger for a better score.
    @inline(__always)
    private func gain(_ score: Float) -> Float {
        let gain = score * self.sign
        return gain.isNaN ? -.infinity : gain
    }

    /// Tells whether `a` ranks behind `b`.
    @inline(__always)
    private func isWorse(_ a: Hit, _ b: Hit) -> Bool {
        let left = self.gain(a.score)
        let right = self.gain(b.score)
        return left < right || (left == right && a.ordinal > b.ordinal)
    }

    /// Tells whether a hit with this score may enter; a first, cheap look.
    @inline(__always)
    func mayEnter(_ score: Float) -> Bool {
        self.heap.count < self.k || !(score * self.sign < self.heap[0].score * self.sign)
    }

    var isFull: Bool { self.heap.count >= self.k }
    var count: Int { self.heap.count }
    /// The score of the worst hit that is kept; the pool is not empty. It may be no number, and then nothing is below it.
    var worstScore: Float { self.heap[0].score }

    @inline(__always)
    mutating func offer(_ hit: Hit) {
        if self.heap.count < self.k {
            self.heap.append(hit)
            self.siftUp()
        } else if self.k > 0, self.mayEnter(hit.score), self.isWorse(self.heap[0], hit) {
            self.heap[0] = hit
            self.siftDown(self.heap.count)
        }
    }

    private mutating func siftUp() {
        var child = self.heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard self.isWorse(self.heap[child], self.heap[parent]) else { return }
            self.heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func siftDown(_ count: Int) {
        var parent = 0
        while true {
            var worst = parent
            let left = 2 * parent + 1
            if left < count, self.isWorse(self.heap[left], self.heap[worst]) { worst = left }
            if left + 1 < count, self.isWorse(self.heap[left + 1], self.heap[worst]) { worst = left + 1 }
            guard worst != parent else { return }
            self.heap.swapAt(parent, worst)
            parent = worst
        }
    }

    /// Sorts in place (heapsort: no allocation), best first, and copies the first `limit` to `hits`.
    mutating func drain(into hits: inout [Hit], limit: Int = Int.max) {
        var end = self.heap.count
        while end > 1 {
            end -= 1
            self.heap.swapAt(0, end)
            self.siftDown(end)
        }
        hits.removeAll(keepingCapacity: true)
        hits.append(contentsOf: self.heap.prefix(limit))
        self.heap.removeAll(keepingCapacity: true)
    }
}
