import AnnexCore
import AnnexEngine
import AnnexVersionSupport
import Testing

/// What is long leaves the loop, whatever its estimate was.
@Suite struct SearchTimesTests {
    @Test func ratiosFollowWhatWasMeasured() {
        let times = SearchTimes()
        #expect(times.ratio(k: 10) == 1)
        for _ in 0..<40 { times.record(5_000_000, estimate: 1_000_000, k: 1_000) }
        #expect(abs(times.ratio(k: 1_000) - 5) < 0.01)
        #expect(times.ratio(k: 900) == times.ratio(k: 1_000), "as many binary digits")
        #expect(times.ratio(k: 100) == 1, "the others stay as they are")
        for _ in 0..<40 { times.record(1_000_000, estimate: 1_000_000, k: 1_000) }
        #expect(abs(times.ratio(k: 1_000) - 1) < 0.01, "what is short again comes back")
    }

    @Test func noRatioLeavesItsBounds() {
        let times = SearchTimes()
        for k in [0, 1, 16_383, 16_384, Int.max] {
            for _ in 0..<80 { times.record(.max, estimate: 1, k: k) }
            #expect(abs(times.ratio(k: k) - 32) < 0.1)
            for _ in 0..<80 { times.record(0, estimate: 1, k: k) }
            #expect(abs(times.ratio(k: k) - 0.5) < 0.1)
            times.record(5, estimate: 0, k: k)
            #expect(times.ratio(k: k).isFinite)
        }
    }

    /// The worst that a client can do to the others' searches: vectors that 8 bits cannot stand for, so that every row is read.
    @Test func oneClientsOddVectorsSendNobodyElseAway() throws {
        let small = try SmallVersion(items: 6_000, users: 4, dimension: 1_024, kind: "IVF16,SQ8")
        var description = small.description
        // As if the build had found that queries read next to nothing.
        description.readsByKappa = [(kappa: 1, items: 10)]
        let version = try ServedVersion(loading: description, timesSearches: true)
        let context = try QueryContext(version)
        let effort = description.defaultEffort.plain
        let odd = SimilarityQuery(k: 10, effort: effort)
        for _ in 0..<200 {
            #expect(try context.answer(odd, nearVectorOf: 1_024) { $0 < 4 ? 9e-16 : 2e-16 } == .hits)
        }
        let usual = SimilarityQuery(k: 10, effort: effort, budgetNanos: WorkEstimate.loopBudgetNanos)
        #expect(try context.answer(usual, near: 7) == .hits)
        print("oneClientsOddVectorsSendNobodyElseAway: 200 vectors that read every row")
        withExtendedLifetime((small, version)) {}
    }
}
