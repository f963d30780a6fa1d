import AnnexCore
import AnnexIndex
import Testing

@Suite struct DefaultEffortTests {
    private static let rows = 40_981
    private static let kappas = DefaultEffort(.kappa(0.5), leavingOut: .init(items: 100, effort: .kappa(0.65)))

    @Test(arguments: [(0, 0.5), (1, 0.5225), (30, 0.6116), (99, 0.6497), (100, 0.65), (101, 0.65), (2_049, 0.65)])
    func kappaGrowsWithTheLogarithm(_ excluded: Int, _ expected: Double) throws {
        guard case .kappa(let kappa) = Self.kappas.leavingOut(excluded, of: Self.rows) else {
            Issue.record("no kappa")
            return
        }
        #expect(abs(Double(kappa) - expected) < 1e-4)
    }

    /// A twentieth of 40,981 is 2,049; of more, few can be a query's own best.
    @Test(arguments: [2_050, 10_000, 40_981, .max]) func manyAreNotTheBest(_ excluded: Int) {
        #expect(Self.kappas.leavingOut(excluded, of: Self.rows) == .kappa(0.5))
    }

    @Test func wholeNumbersGrowByFactors() {
        let lists = DefaultEffort(.nprobe(4), leavingOut: .init(items: 100, effort: .nprobe(16)))
        #expect(lists.leavingOut(0, of: 9_000) == .nprobe(4))
        #expect(
            lists.leavingOut(9, of: 9_000) == .nprobe(8),
            "half of the logarithm is a factor of two: 7.99, rounded up"
        )
        #expect(lists.leavingOut(100, of: 9_000) == .nprobe(16))
        let walks = DefaultEffort(.efSearch(64), leavingOut: .init(items: 100, effort: .efSearch(64)))
        #expect(walks.leavingOut(50, of: 9_000) == .efSearch(64))
    }

    @Test func whatWasNotMeasuredStays() {
        #expect(DefaultEffort(.efSearch(64)).leavingOut(50, of: 9_000) == .efSearch(64))
        #expect(DefaultEffort(.exact, leavingOut: .init(items: 5, effort: .exact)).leavingOut(3, of: 100) == .exact)
        #expect(Self.kappas.leavingOut(1, of: 19) == .kappa(0.5), "of 19 items none is a twentieth")
    }
}
