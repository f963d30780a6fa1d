/// A share of all requests that may be spent on extra attempts: each request pays in a share of one, each extra attempt takes
/// one out. What was taken out is at no time more than the reserve and the share of what was paid in.
package struct ShareBudget: Sendable, Equatable {
    /// Counted in thousandths of an attempt.
    private var saved: UInt64
    private let share: UInt64
    private let limit: UInt64

    /// - Parameters:
    ///   - perThousand: extra attempts for each thousand requests; 0 to 1,000, others are brought there.
    ///   - reserve: attempts that may be made before any request was paid in.
    ///   - burst: attempts that may be saved up; at least the reserve.
    package init(perThousand: Int, reserve: Int, burst: Int) {
        self.share = UInt64(min(max(0, perThousand), 1_000))
        self.saved = UInt64(min(max(0, reserve), 1 << 32)) * 1_000
        self.limit = max(self.saved, UInt64(min(max(0, burst), 1 << 32)) * 1_000)
    }

    package mutating func payIn() { self.saved = min(self.limit, self.saved + self.share) }

    package var affordsOne: Bool { self.saved >= 1_000 }

    /// Returns false, and nothing is taken, where less than one attempt is left.
    package mutating func takeOne() -> Bool {
        guard self.saved >= 1_000 else { return false }
        self.saved -= 1_000
        return true
    }
}
