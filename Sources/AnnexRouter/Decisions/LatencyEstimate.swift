/// Keeps recent latencies as a histogram of steps of an eighth of an octave (at most 12.5 % apart), from 1 µs to 137 s.
/// Old ones fade: whoever reads quantiles calls `fade` now and then. It takes 1 KiB; adding is O(1) and allocates
/// nothing.
package struct LatencyEstimate: Sendable {
    static let stepCount = 8 * 25
    private var counts = [UInt32](repeating: 0, count: Self.stepCount)
    package private(set) var total = 0

    package init() {}

    package mutating func add(_ nanoseconds: UInt64) {
        self.counts[Self.step(of: nanoseconds)] &+= 1
        self.total += 1
    }

    /// Adds what another one holds.
    package mutating func add(_ other: LatencyEstimate) {
        for step in 0..<Self.stepCount { self.counts[step] &+= other.counts[step] }
        self.total += other.total
    }

    package mutating func clear() {
        for step in 0..<Self.stepCount { self.counts[step] = 0 }
        self.total = 0
    }

    /// Halves all counts where there are more than `limit`, so that the last few thousand latencies decide.
    package mutating func fade(above limit: Int = 1_024) {
        guard self.total > limit else { return }
        self.total = 0
        for step in 0..<Self.stepCount {
            self.counts[step] >>= 1
            self.total += Int(self.counts[step])
        }
    }

    /// Returns the end of the step that holds the quantile: no less than the true value, at most 12.5 % more. Returns
    /// nil when empty.
    package func quantile(_ share: Double) -> UInt64? {
        guard self.total > 0 else { return nil }
        let rank = min(max(1, Int((Double(self.total) * min(max(0, share), 1)).rounded(.up))), self.total)
        var seen = 0
        for step in 0..<Self.stepCount {
            seen += Int(self.counts[step])
            if seen >= rank { return Self.end(of: step) }
        }
        return nil
    }

    /// Returns the step of a value. Below 8 units of 1,024 ns each is a step, then each doubling has eight.
    private static func step(of nanoseconds: UInt64) -> Int {
        let value = nanoseconds >> 10
        guard value >= 8 else { return Int(value) }
        let octave = 60 - value.leadingZeroBitCount
        return min(octave * 8 + Int(truncatingIfNeeded: value >> UInt64(octave)), Self.stepCount - 1)
    }

    private static func end(of step: Int) -> UInt64 {
        guard step >= 16 else { return UInt64(step + 1) << 10 }
        let octave = step / 8 - 1
        return UInt64(step - octave * 8 + 1) << UInt64(octave + 10)
    }
}
