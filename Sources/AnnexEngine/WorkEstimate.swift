package import AnnexCore

/// How long a search may take, so that what is long leaves the event loop.
///
/// The constants are nanoseconds on the 2-core machine of the README, rounded up. They steer where work runs, never
/// what it answers.
package enum WorkEstimate {
    /// Work above this runs on a worker thread.
    package static let loopBudgetNanos = 300_000.0

    private static let nanosPerScannedComponent = 0.12
    private static let nanosPerWalkedComponent = 0.35
    private static let nanosPerWalkedItem = 20.0
    private static let nanosPerResult = 60.0

    /// Nanoseconds for one query.
    package static func nanos(of effort: SearchEffort, k: Int, in version: VersionDescription) -> Double {
        let rows = Double(version.itemCount)
        let dimension = Double(version.dimension)
        let answer = Double(k) * Self.nanosPerResult
        let scan = rows * dimension * Self.nanosPerScannedComponent
        switch (effort, version.kind.family) {
        case (.exact, _), (_, .flat):
            return scan + answer
        case (.efSearch(let ef), .hnsw(let links)):
            let visited = min(rows, Double(max(ef, k)) * Double(links) * 0.75)
            return visited * (dimension * Self.nanosPerWalkedComponent + Self.nanosPerWalkedItem) + answer
        case (.nprobe(let nprobe), .ivf(let lists)):
            let read = rows * min(1, Double(nprobe) / Double(lists)) + Double(lists)
            return read * dimension * Self.nanosPerWalkedComponent + answer
        default:
            return scan + answer
        }
    }
}
