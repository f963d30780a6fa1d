import AnnexCore

/// Scratch memory of one thread's searches: allocated once, grown only when a larger k comes.
package struct SearchScratch {
    var ordinals: [Int64] = []
    var distances: [Float] = []
    var query: [Float] = []
    var block = [Float](repeating: 0, count: 256)
    var pool = TopPool(metric: .ip)
    var poolMetric = Metric.ip
    var visited = VisitedMarks()
    var frontier = Frontier()
    let scan = ScanScratch()
    /// Counts items read by the present search; see `SearchReport`.
    var read: Int?
    /// Holds items that get their exact scores together, and those scores.
    var chosen = [Int32](repeating: 0, count: 64)
    var rescored = [Float](repeating: 0, count: 64)

    package init() {}

    mutating func reserve(candidates: Int) {
        guard self.ordinals.count < candidates else { return }
        self.ordinals = [Int64](repeating: -1, count: candidates)
        self.distances = [Float](repeating: 0, count: candidates)
    }

    mutating func beginPool(k: Int, metric: Metric) {
        if self.poolMetric != metric {
            self.pool = TopPool(metric: metric)
            self.poolMetric = metric
        }
        self.pool.begin(k: k)
    }
}
