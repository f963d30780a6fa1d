import AnnexCore
import Testing

@Suite struct EventTimeTests {
    /// The same moment in each unit, and the edges.
    @Test(
        arguments: [
            (1_700_000_001_000, nil), (0, nil), (99_999_999, nil), (100_000_000, "seconds"), (1_700_000_001, "seconds"),
            (31_535_999_999, "seconds"), (31_536_000_000, nil), (4_102_444_799_999, nil), (4_102_444_800_000, "2100"),
            (1_700_000_001_000_000, "microseconds"), (1_700_000_001_000_000_000, "nanoseconds"),
            (Int64.max, "nanoseconds"),
            (-1, "before 1970"), (Int64.min, "before 1970"),
        ] as [(Int64, String?)]
    )
    func units(_ time: Int64, _ words: String?) {
        let problem = EventTime.problem(time)
        #expect((problem == nil) == (words == nil))
        if let words {
            #expect(problem?.contains(words) == true && problem?.contains("milliseconds since 1970") == true)
        }
    }

    @Test func lengths() {
        for metric in Metric.allCases {
            for good in [1e-15, 1, 1e15] { #expect(VectorLength.problem(good, metric: metric) == nil) }
            for bad in [9.9e-16, 1e-300, 1.01e15, 1e300, .infinity, .nan] {
                #expect(VectorLength.problem(bad, metric: metric)?.contains("1e-15 to 1e15") == true)
            }
            #expect((VectorLength.problem(0, metric: metric) == nil) == (metric != .cosine))
        }
    }

    @Test(arguments: [(1e15, "1e15"), (1e-15, "1e-15"), (3.674e19, "3.67e19"), (-9.999e-30, "-1e-29"), (0, "0.0")])
    func scientific(_ value: Double, _ text: String) { #expect(Printable.scientific(value) == text) }
}
