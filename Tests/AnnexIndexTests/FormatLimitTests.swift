import AnnexCore
import AnnexIndex
import Testing

/// What the formats cannot count is an error with a sentence, before anything is made.
@Suite struct FormatLimitTests {
    /// An item of HNSW32 has 64 links at most, and 4 that repair adds.
    private static let mostOfHNSW32 = Int(UInt32.max) / 68

    @Test(arguments: [1, 1_000, mostOfHNSW32]) func whatFitsIsTaken(_ items: Int) throws {
        try IndexKind(parsing: "HNSW32").check(dimension: 16, rows: items)
    }

    @Test(arguments: [mostOfHNSW32 + 1, Limits.maximumItems, Limits.maximumItems + 1, Int.max])
    func moreLinksThanCanBeCountedAreAnError(_ items: Int) throws {
        let error = try #require(throws: AnnexError.self) {
            try IndexKind(parsing: "HNSW32").check(dimension: 16, rows: items)
        }
        #expect(error.code == .limit && error.message.contains("\(items)") && error.hint != nil)
        // The advice fits, where it names a graph.
        if items == Self.mostOfHNSW32 + 1 {
            #expect(error.hint?.contains("HNSW31") ?? false, "\(error)")
            try IndexKind(parsing: "HNSW31").check(dimension: 16, rows: items)
        }
    }

    @Test func moreItemsThanOrdinalsAreAnError() throws {
        for kind in ["Flat", "IVF64,SQ8", "HNSW4"] {
            for items in [Limits.maximumItems + 1, Int.max] {
                let error = try #require(throws: AnnexError.self) {
                    try IndexKind(parsing: kind).check(dimension: 16, rows: items)
                }
                #expect(error.code == .limit && error.message.contains("\(items) items"), "\(error)")
            }
        }
        try IndexKind(parsing: "Flat").check(dimension: 16, rows: Limits.maximumItems)
    }

    /// No arithmetic on the way overflows, whatever a kind says of its links.
    @Test func noNumberOverflows() {
        for links in [1, 1 << 20, Int.max / 2, Int.max / 2 + 1, Int.max] {
            for items in [1 << 20, Limits.maximumItems] {
                let fits = links == 1 && items == 1 << 20
                var isRefused = false
                do throws(AnnexError) { try FormatLimits.check(items: items, hnsw: links) } catch { isRefused = true }
                #expect(isRefused != fits, "\(links) links of \(items) items")
            }
        }
    }
}
