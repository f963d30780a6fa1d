import AnnexCore
import AnnexIndex
import Synchronization

extension QueryContext {
    /// About how many nanoseconds `usePopular` takes.
    func popularNanos(k: Int) -> Double {
        WorkEstimate.nanosOfPopular(k: min(k, self.version.description.itemCount), excluded: self.excludedCount)
    }

    /// Fills `hits` with the most popular items that are not left out, scores being numbers of events. O(k + left out).
    ///
    /// - Returns: false where nothing was counted: the server does not answer for unknown users.
    package func usePopular(k: Int) -> Bool {
        guard let popular = self.version.popular.withLock({ $0 }) else { return false }
        self.version.coldAnswers.add(1, ordering: .relaxed)
        let marks = self.marks
        self.setHits(
            popular.order.lazy.filter { !marks.contains($0) }.prefix(k).map {
                Hit(ordinal: $0, score: popular.counts[Int($0)])
            }
        )
        return true
    }
}
