import AnnexCore
import Synchronization

/// How much longer the searches of one version take than `WorkEstimate` says.
///
/// The estimate knows numbers of items; how many of them a search has to score again depends on the vectors, and changes its
/// time tenfold. So some searches are timed, on event loops and on worker threads alike: what turns out to be long leaves the
/// loop from then on, and comes back when it is short again. Thread-safe, without a lock; a reading is one relaxed load.
package final class SearchTimes: Sendable {
    /// The last ratios weigh most: each new one counts for a quarter.
    private static let newestWeight: Float = 0.25
    /// A ratio beyond these tells of a thread that was kept waiting for pages rather than of the search.
    private static let ratios: ClosedRange<Float> = 0.5...32
    /// One search in so many is timed: reading the clock twice takes some 500 ns.
    static let sampling = 32
    /// So many searches of each context are timed from its first on.
    static let firstTimed = 32

    /// Ratios as bits of a `Float`, by the number of binary digits of `k`: the time per hit changes with it. 0: none yet.
    private let byDigits: InlineArray<15, Atomic<UInt32>>

    package init() {
        self.byDigits = InlineArray { _ in Atomic(0) }
    }

    /// By how much to multiply the estimate of a search for `k` items.
    package func ratio(k: Int) -> Double {
        let bits = self.byDigits[Self.digits(k)].load(ordering: .relaxed)
        return bits == 0 ? 1 : Double(Float(bitPattern: bits))
    }

    /// A search took `nanoseconds` of processor time where `WorkEstimate` said `estimate`. Of two threads that record at
    /// once, one may be lost.
    package func record(_ nanoseconds: Int, estimate: Double, k: Int) {
        guard estimate > 0 else { return }
        let now = min(max(Float(Double(nanoseconds) / estimate), Self.ratios.lowerBound), Self.ratios.upperBound)
        let digits = Self.digits(k)
        let bits = self.byDigits[digits].load(ordering: .relaxed)
        let before = bits == 0 ? now : Float(bitPattern: bits)
        let after = before + (now - before) * Self.newestWeight
        self.byDigits[digits].store(after.bitPattern, ordering: .relaxed)
    }

    private static func digits(_ k: Int) -> Int { min(Int.bitWidth - max(k, 1).leadingZeroBitCount, 14) }
}
