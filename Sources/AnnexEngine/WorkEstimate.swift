package import AnnexCore

/// How long a search may take, so that what is long leaves the event loop.
///
/// The constants are nanoseconds on the 2-core machine of the README, rounded up. They steer where work runs, never
/// what it answers.
package enum WorkEstimate {
    /// Work above this runs on a worker thread.
    package static let loopBudgetNanos = 300_000.0

    private static let nanosPerScannedComponent = 0.12
    /// 8-bit codes from memory.
    private static let nanosPerScannedCode = 0.04
    private static let nanosPerWalkedComponent = 0.35
    private static let nanosPerWalkedItem = 20.0
    private static let nanosPerResult = 60.0

    /// Nanoseconds for one query.
    package static func nanos(of effort: SearchEffort, k: Int, in version: VersionDescription) -> Double {
        let rows = Double(version.itemCount)
        let dimension = Double(version.dimension)
        let answer = Double(k) * Self.nanosPerResult
        let hasCodes = version.files.serving != nil
        let scan = rows * dimension * (hasCodes ? Self.nanosPerScannedCode : Self.nanosPerScannedComponent)
        switch (effort, version.kind.family) {
        case (.exact, _), (_, .flat):
            return scan + answer
        case (.efSearch(let ef), .hnsw(let links)):
            let visited = min(rows, Double(max(ef, k)) * Double(links) * 0.75)
            return visited * (dimension * Self.nanosPerWalkedComponent + Self.nanosPerWalkedItem) + answer
        case (.kappa(let kappa), _):
            // Bounds leave out most: 2 to 12 % of the items are read at kappa 0.5, all at worst.
            return scan * Double(kappa * kappa) + answer
        case (.nprobe(let nprobe), .ivf(let lists)):
            let read = rows * min(1, Double(nprobe) / Double(lists)) + Double(lists)
            return read * dimension * Self.nanosPerWalkedComponent + answer
        default:
            return scan + answer
        }
    }
}
