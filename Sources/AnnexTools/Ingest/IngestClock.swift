package import AnnexCore

/// Gives times to events whose lines have none: one for the whole run, and a millisecond more for each such line of the
/// same user before it.
///
/// So a second run over the same file gives each line the time that it had, lines of one user and item do not replace each
/// other, and each user's events keep the order of the file. Users are counted in 2^20 groups by the hash of their id, in
/// 4 MiB whatever their number: who shares a group moves on together, in a file of a hundred million lines by some 100 ms.
package struct IngestClock {
    private static let groups = 1 << 20

    private let base: Int64
    private var counts: [UInt32]

    /// - Parameter base: milliseconds since 1970.
    package init(base: Int64) {
        self.base = base
        self.counts = [UInt32](repeating: 0, count: Self.groups)
    }

    /// Returns the time of the user's next line that has none.
    package mutating func stamp(_ user: Identifier) -> Int64 {
        let group = Int(truncatingIfNeeded: Self.hash(user) >> 44)
        let (time, overflow) = self.base.addingReportingOverflow(Int64(self.counts[group]))
        // In a file of 4 billion lines of one user the last ones replace each other.
        if self.counts[group] < .max { self.counts[group] += 1 }
        return overflow ? .max : time
    }

    /// Returns the same in every process and release: FNV-1a, its bits then mixed (the end of MurmurHash3).
    static func hash(_ user: Identifier) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in user.bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        hash = (hash ^ hash >> 33) &* 0xff51_afd7_ed55_8ccd
        hash = (hash ^ hash >> 33) &* 0xc4ce_b9fe_1a85_ec53
        return hash ^ hash >> 33
    }
}
