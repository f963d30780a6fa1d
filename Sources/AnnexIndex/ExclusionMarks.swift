/// Which ordinals the present query leaves out: one epoch number per ordinal, so that starting afresh is O(1).
///
/// One per search context; 4 bytes per item.
package struct ExclusionMarks: Sendable {
    private var marks: [UInt32]
    private(set) var epoch: UInt32 = 1
    /// How many ordinals are marked.
    package private(set) var count = 0

    package init(rows: Int) { self.marks = [UInt32](repeating: 0, count: rows) }

    /// Forgets all marks. O(1), but O(rows) once in 2^32 - 2 calls.
    package mutating func begin() {
        self.count = 0
        if self.epoch == UInt32.max {
            for index in self.marks.indices { self.marks[index] = 0 }
            self.epoch = 0
        }
        self.epoch += 1
    }

    package mutating func mark(_ ordinal: Int32) {
        guard ordinal >= 0, Int(ordinal) < self.marks.count, self.marks[Int(ordinal)] != self.epoch else { return }
        self.marks[Int(ordinal)] = self.epoch
        self.count += 1
    }

    @inline(__always)
    package func contains(_ ordinal: Int32) -> Bool { self.marks[Int(ordinal)] == self.epoch }

    /// Lends the marks to the index; nil where nothing is marked.
    func withMarks<R>(_ body: (UnsafePointer<UInt32>?) -> R) -> R {
        self.count == 0 ? body(nil) : unsafe self.marks.withUnsafeBufferPointer { unsafe body($0.baseAddress) }
    }
}
