import AnnexEngine
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
}
