/// Marks the ordinals that the present query leaves out. Starting afresh is O(1).
///
/// There is one word per 32 ordinals: its upper half has the epoch in which it was written, its lower half a bit for
/// each. So an item takes 0.25 bytes, and marking thousands leaves the caches to the search. Each search context has
/// one.
package struct ExclusionMarks: Sendable {
    private var words: [UInt64]
    private(set) var epoch: UInt32 = 1
    /// Counts the ordinals that are marked.
    package private(set) var count = 0
    private let rows: Int

    package init(rows: Int) {
        self.rows = rows
        self.words = [UInt64](repeating: 0, count: (rows + 31) / 32)
    }

    /// Forgets all marks. O(1), but O(rows) once in 2^32 - 2 calls.
    package mutating func begin() {
        self.count = 0
        if self.epoch == UInt32.max {
            for index in self.words.indices { self.words[index] = 0 }
            self.epoch = 0
        }
        self.epoch += 1
    }

    package mutating func mark(_ ordinal: Int32) {
        guard ordinal >= 0, Int(ordinal) < self.rows else { return }
        let index = Int(ordinal) / 32
        let bit = UInt64(1) << (UInt64(ordinal) % 32)
        let word = self.words[index]
        let isCurrent = UInt32(word >> 32) == self.epoch
        guard !isCurrent || word & bit == 0 else { return }
        self.words[index] = (isCurrent ? word : UInt64(self.epoch) << 32) | bit
        self.count += 1
    }

    @inline(__always)
    package func contains(_ ordinal: Int32) -> Bool {
        let word = self.words[Int(ordinal) / 32]
        return UInt32(word >> 32) == self.epoch && word & (1 << (UInt64(ordinal) % 32)) != 0
    }

    /// Lends the words to the index; nil where nothing is marked.
    func withMarks<R>(_ body: (UnsafePointer<UInt64>?) -> R) -> R {
        self.count == 0 ? body(nil) : unsafe self.words.withUnsafeBufferPointer { unsafe body($0.baseAddress) }
    }
}
