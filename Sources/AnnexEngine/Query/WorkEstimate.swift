package import AnnexCore
package import AnnexIndex

/// Estimates how long a search may take, so that what is long leaves the event loop.
///
/// The constants are nanoseconds on the 2-core machine of docs/benchmarks.md, rounded up. They steer where work runs,
/// never what it answers.
package enum WorkEstimate {
    /// Work above this runs on a worker thread.
    package static let loopBudgetNanos = 500_000.0
    /// A larger reply is made on a worker thread: writing it takes as long as the budget.
    package static let loopReplyBytes = 1 << 20

    private static let nanosPerScannedComponent = 0.12
    /// Reading an 8-bit code from memory takes so long; see also `nanosPerScan`.
    private static let nanosPerScannedCode = 0.04
    private static let nanosPerScan = 3_000.0
    private static let nanosPerWalkedComponent = 0.35
    private static let nanosPerWalkedItem = 20.0
    /// A step of a walk over codes, which looks at some ten new items.
    private static let nanosPerStep = 1_000.0
    private static let nanosPerStepComponent = 1.5
    /// Finding, scoring and writing one more hit: what is read for it lies scattered. `SearchTimes` corrects it by version.
    package static let nanosPerResult = 1_000.0
    static let nanosPerMark = 2.0
    /// Taking over an item that was seen into what is kept of a user takes a copy and a mark.
    static let nanosPerKeptItem = 6.0
    /// Looking up the id of an item that a client names takes so long.
    package static let nanosPerIdentifier = 250.0
    /// Looking up a user of whom nothing is known, and saying so, takes so long.
    package static let nanosPerUser = 2_000.0
    /// Reading an event or a trained item and writing its id takes so long.
    package static let nanosPerSeenItem = 1_500.0
    /// Writing one id, without a search for it, takes so long.
    package static let nanosPerMember = 1_000.0
    /// Copying attributes out of the store's pages takes so long.
    private static let nanosPerAttributeByte = 0.3
    /// An item that is left out makes a scan with bounds read so many more.
    private static let readsPerExcluded = 20.0

    /// How far a search may go within a budget, whatever was estimated before it began: what a walk falls back to, or bounds
    /// that rule out less than they do on average, must not take a loop longer. No limit where the budget has none.
    ///
    /// - Parameter k: hits, which take their part of the budget.
    package static func limit(nanos: Double, k: Int, in version: VersionDescription) -> SearchLimit {
        guard nanos < .infinity else { return .none }
        let nanos = nanos - Double(min(k, version.itemCount)) * Self.nanosPerResult
        let dimension = Double(max(1, version.dimension))
        return SearchLimit(
            codes: Int(clamping: max(0, nanos) / (dimension * Self.nanosPerScannedCode)),
            rows: Int(clamping: max(0, nanos) / (dimension * Self.nanosPerScannedComponent))
        )
    }

    /// Tells whether marking so many items fits a budget. A few hundred always do: to hand them on takes longer.
    static func isShort(marks count: Int, _ budgetNanos: Double) -> Bool {
        Double(count) * Self.nanosPerMark <= max(budgetNanos, Self.nanosPerUser)
    }

    /// Estimates the time for the most popular items: each that is left out is passed over.
    static func nanosOfPopular(k: Int, excluded: Int) -> Double {
        Double(k) * Self.nanosPerMember + Double(excluded) * Self.nanosPerMark
    }

    /// Returns nanoseconds for one query.
    ///
    /// - Parameters:
    ///   - excluded: how many items the query leaves out.
    ///   - attributeBytes: how many an item has on average; 0 where the answer has no attributes.
    ///   - isZero: whether the query is the zero vector, for which no bound rules anything out.
    package static func nanos(
        of effort: SearchEffort,
        k: Int,
        excluded: Int = 0,
        attributeBytes: Double = 0,
        isZero: Bool = false,
        in version: VersionDescription
    ) -> Double {
        let rows = Double(version.itemCount)
        let dimension = Double(version.dimension)
        let hits = Double(min(k, version.itemCount))
        let answer =
            hits * (Self.nanosPerResult + attributeBytes * Self.nanosPerAttributeByte)
            + Double(excluded) * Self.nanosPerMark
        let hasCodes = version.files.serving != nil
        let scan = rows * dimension * (hasCodes ? Self.nanosPerScannedCode : Self.nanosPerScannedComponent)
        if isZero { return rows * dimension * Self.nanosPerScannedComponent + answer }
        switch (effort, version.kind.family) {
        case (.exact, _), (_, .flat):
            return scan + answer
        case (.efSearch(let ef), .hnsw(let links)):
            let wide = Double(max(ef, k))
            let visited = min(rows, wide * Double(links) * 0.75)
            let walk =
                hasCodes
                ? wide * (dimension * Self.nanosPerStepComponent + Self.nanosPerStep) + Self.nanosPerScan
                : visited * (dimension * Self.nanosPerWalkedComponent + Self.nanosPerWalkedItem)
            // Where most of the catalogue is excluded, the walk finds too few, and every item is looked at.
            return walk + answer + (excluded > version.itemCount / 2 ? scan : 0)
        case (.kappa(let kappa), _):
            guard let read = version.itemsRead(kappa: Double(kappa)) else { return scan + answer }
            // Most items beyond this number are far from the best.
            let met = min(excluded, DefaultEffort.mostLeftOut(of: version.itemCount))
            let more = Double(k + met) * Self.readsPerExcluded
            return min(rows, read + more) * dimension * Self.nanosPerScannedCode + Self.nanosPerScan + answer
        case (.nprobe(let nprobe), .ivf(let lists)):
            let read = rows * min(1, Double(nprobe) / Double(lists)) + Double(lists)
            let each = hasCodes ? Self.nanosPerScannedCode : Self.nanosPerWalkedComponent
            // Lists that hold too few answers lead to a scan of everything.
            let isScarce = Double(excluded + k) * 4 > read
            return read * dimension * each + answer + (isScarce ? scan : 0)
        case (.efSearch, .ivf), (.nprobe, .hnsw):
            return scan + answer
        }
    }
}

extension Int {
    /// Gives the largest number for what is beyond it.
    fileprivate init(clamping value: Double) { self = value < 0x1p62 ? Int(value) : .max }
}
