extension FoldInSolver {
    /// Estimates how long a solve or an explanation takes, for whoever decides where it runs. O(1).
    ///
    /// The formula was fitted within a quarter on an AMD EPYC with AVX-512, one thread, 32 to 512 dimensions. A solve
    /// takes the factorisation (dimension³), copying the matrix and the triangular solves (dimension²), and calls
    /// within (dimension). An event takes its row in `dsyrk` (dimension²) and its conversion. At 128 dimensions a solve
    /// takes 52 µs for 10 events, 93 for 100, 550 for 1,000.
    package static func nanos(events: Int, dimension: Int) -> Int {
        let d = Double(dimension)
        let perSolve = 1_000 + 80 * d + 0.75 * d * d + 0.011 * d * d * d
        let perEvent = 15 + 0.9 * d + 0.023 * d * d
        return Int(min(perSolve + Double(max(0, events)) * perEvent, 1e15))
    }
}
