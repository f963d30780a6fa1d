import CAnnexKernels

/// Holds one thread's memory for walks. It grows when a larger graph or a longer list comes.
///
/// It is not thread-safe.
@safe final class WalkScratch {
    private var marks = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: 0)
    private var epoch: UInt32 = 0
    private var capacity = 0
    private var longest = 0
    /// The result of the last walk.
    var list: WalkList

    init() {
        unsafe self.list = WalkList(
            kept: .allocate(capacity: 1),
            slots: .allocate(capacity: 1),
            fresh: .allocate(capacity: 1),
            scores: .allocate(capacity: 1)
        )
    }

    deinit {
        unsafe self.list.deallocate()
        unsafe self.marks.deallocate()
    }

    /// Returns an empty list of up to `capacity` items, for steps of up to `longest` links. O(1), but O(rows) once in
    /// 2^32.
    func begin(rows: Int, capacity: Int, longest: Int) -> WalkList {
        if self.capacity < capacity || self.longest < longest {
            unsafe self.list.deallocate()
            self.capacity = max(capacity, self.capacity)
            self.longest = max(longest, self.longest)
            unsafe self.list = WalkList(
                kept: .allocate(capacity: self.capacity + 1),
                slots: .allocate(capacity: self.capacity + 1),
                fresh: .allocate(capacity: self.longest),
                scores: .allocate(capacity: self.longest)
            )
        }
        if unsafe self.marks.count < rows || self.epoch == UInt32.max {
            unsafe self.marks.deallocate()
            unsafe self.marks = .allocate(capacity: rows)
            unsafe self.marks.initialize(repeating: 0)
            self.epoch = 0
        }
        self.epoch += 1
        var list = unsafe self.list
        unsafe list.begin(self.marks.baseAddress, self.epoch)
        return unsafe list
    }
}

/// The best items of a walk so far, best first, and those of the present step. It lies in a `WalkScratch`.
@unsafe struct WalkList {
    /// Scores, and slots in the layout; that of an item that was expanded is inverted, and so below zero.
    private let kept: UnsafeMutablePointer<Float>
    private let slots: UnsafeMutablePointer<Int32>
    /// Holds the slots of the present step, and their scores.
    let fresh: UnsafeMutablePointer<Int32>
    let scores: UnsafeMutablePointer<Float>
    private var marks: UnsafeMutablePointer<UInt32>?
    private var epoch: UInt32 = 0
    private(set) var count = 0
    /// No item in front of it is left to expand.
    private var cursor = 0
    /// Counts items looked at by links.
    private(set) var visited = 0

    init(
        kept: UnsafeMutablePointer<Float>,
        slots: UnsafeMutablePointer<Int32>,
        fresh: UnsafeMutablePointer<Int32>,
        scores: UnsafeMutablePointer<Float>
    ) {
        unsafe (self.kept, self.slots, self.fresh, self.scores) = (kept, slots, fresh, scores)
    }

    func deallocate() {
        unsafe self.kept.deallocate()
        unsafe self.slots.deallocate()
        unsafe self.fresh.deallocate()
        unsafe self.scores.deallocate()
    }

    mutating func begin(_ marks: UnsafeMutablePointer<UInt32>?, _ epoch: UInt32) {
        unsafe self.marks = marks
        unsafe self.epoch = epoch
        unsafe (self.count, self.cursor, self.visited) = (0, 0, 0)
    }

    func item(_ number: Int) -> Int32 {
        let slot = unsafe self.slots[number]
        return slot < 0 ? ~slot : slot
    }

    func score(_ number: Int) -> Float { unsafe self.kept[number] }

    /// Puts an item behind all that are there: seeds come in order.
    mutating func append(_ score: Float, _ item: Int32) {
        unsafe self.marks?[Int(item)] = self.epoch
        unsafe self.kept[self.count] = score
        unsafe self.slots[self.count] = item
        unsafe self.count += 1
    }

    /// Returns the best that was not expanded, which it is from now on; nil at the end of the walk.
    @inline(__always)
    mutating func next() -> Int? {
        while unsafe self.cursor < self.count {
            let slot = unsafe self.slots[self.cursor]
            if slot >= 0 {
                unsafe self.slots[self.cursor] = ~slot
                return Int(slot)
            }
            unsafe self.cursor += 1
        }
        return nil
    }

    /// Guesses what `next` gives next time: the one behind in the list, if that is still to expand.
    @inline(__always)
    func likelyNext() -> Int? {
        let slot = unsafe self.cursor + 1 < self.count ? self.slots[self.cursor + 1] : -1
        return slot >= 0 ? Int(slot) : nil
    }

    /// Copies the links that were not looked at yet to `fresh`, marks them, and returns their number.
    @inline(__always)
    mutating func keepNew(_ links: UnsafePointer<Int32>, _ number: Int, skipping below: Int32) -> Int {
        guard let marks = unsafe self.marks else { return 0 }
        let count = unsafe CAnnexKernels_take_new(links, number, marks, self.epoch, below, self.fresh)
        unsafe self.visited += count
        return count
    }

    @inline(__always)
    func mayEnter(_ score: Float, _ limit: Int) -> Bool {
        unsafe self.count < limit || score > self.kept[self.count - 1]
    }

    /// Inserts an item in order, behind its equals. The last one is dropped where there are then more than the limit.
    @inline(__always)
    mutating func insert(_ score: Float, _ item: Int32, _ limit: Int) {
        var low = 0
        var high = unsafe self.count
        while low < high {
            let middle = (low + high) / 2
            if unsafe self.kept[middle] >= score { low = middle + 1 } else { high = middle }
        }
        let moved = unsafe min(self.count, limit - 1) - low
        unsafe (self.kept + low + 1).update(from: self.kept + low, count: moved)
        unsafe (self.slots + low + 1).update(from: self.slots + low, count: moved)
        unsafe self.kept[low] = score
        unsafe self.slots[low] = item
        unsafe self.count = min(self.count + 1, limit)
        unsafe self.cursor = min(self.cursor, low)
    }
}
