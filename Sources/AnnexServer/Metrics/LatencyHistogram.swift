/// Counts of durations in buckets that are 1/16 wide relative to their value, from 1 ns to about 18 minutes.
///
/// Adding is O(1) and does not allocate; a quantile is O(buckets) and at most 6.25 % too high.
package struct LatencyHistogram: Sendable {
    private static let topExponent = 40
    private static let bucketCount = (topExponent - 2) * 16

    private var counts = [Int](repeating: 0, count: Self.bucketCount)
    package private(set) var count = 0

    package init() {}

    /// Returns the bucket of a duration in nanoseconds.
    package static func bucket(_ nanoseconds: Int) -> Int {
        guard nanoseconds >= 16 else { return max(nanoseconds, 0) }
        let exponent = Int.bitWidth - 1 - nanoseconds.leadingZeroBitCount
        guard exponent <= Self.topExponent else { return Self.bucketCount - 1 }
        return (exponent - 3) * 16 + ((nanoseconds >> (exponent - 4)) & 15)
    }

    /// Returns the largest duration of a bucket, in nanoseconds.
    package static func upperBound(_ bucket: Int) -> Int {
        guard bucket >= 16 else { return bucket }
        let exponent = bucket / 16 + 3
        return (1 << exponent) + ((bucket % 16 + 1) << (exponent - 4)) - 1
    }

    package mutating func add(_ nanoseconds: Int) {
        self.counts[Self.bucket(nanoseconds)] &+= 1
        self.count &+= 1
    }

    package mutating func merge(_ other: LatencyHistogram) {
        for index in self.counts.indices { self.counts[index] &+= other.counts[index] }
        self.count &+= other.count
    }

    /// Returns the nanoseconds that a share `fraction` (0...1) of the durations does not exceed; 0 when empty.
    package func quantile(_ fraction: Double) -> Int {
        let wanted = fraction * Double(self.count)
        var seen = 0
        for (index, count) in self.counts.enumerated() where count > 0 {
            seen += count
            if Double(seen) >= wanted { return Self.upperBound(index) }
        }
        return 0
    }

    /// Cumulative counts at powers of two of a microsecond, ends where all durations are counted.
    package func cumulativeMicroseconds() -> [(bound: Int, count: Int)] {
        var result: [(bound: Int, count: Int)] = []
        var bound = 1
        var seen = 0
        for (index, count) in self.counts.enumerated() where count > 0 {
            while Self.upperBound(index) > bound * 1_000, bound < 1 << 40 {
                if seen > 0 { result.append((bound, seen)) }
                bound *= 2
            }
            seen += count
        }
        if seen > 0 { result.append((bound, seen)) }
        return result
    }
}
