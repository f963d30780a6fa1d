import AnnexCore
import AnnexRouter
import Testing

@Suite("Budgets and latencies")
struct BudgetTests {
    @Test(
        "a budget gives its reserve, then its share, and no more",
        arguments: [
            (200, 10), (50, 0), (1_000, 3), (0, 5), (1, 0), (999, 1),
        ]
    )
    func share(_ perThousand: Int, _ reserve: Int) {
        var budget = ShareBudget(perThousand: perThousand, reserve: reserve, burst: 4_096)
        var taken = 0
        for requests in 0...3_000 {
            while budget.takeOne() { taken += 1 }
            #expect(taken == reserve + requests * perThousand / 1_000)
            #expect(!budget.affordsOne)
            budget.payIn()
        }
    }

    @Test("what is saved up ends at the burst", arguments: [(64, 0), (4_096, 10), (1, 0), (0, 7), (5, 7)])
    func burst(_ burst: Int, _ reserve: Int) {
        var budget = ShareBudget(perThousand: 500, reserve: reserve, burst: burst)
        for _ in 0..<100_000 { budget.payIn() }
        var taken = 0
        while budget.takeOne() { taken += 1 }
        #expect(taken == max(burst, reserve))
    }

    @Test(
        "numbers out of range are brought into it",
        arguments: [
            (Int.max, Int.max, Int.max), (.min, .min, .min), (-1, -1, -1), (1_001, 0, .max),
        ]
    )
    func extremes(_ perThousand: Int, _ reserve: Int, _ burst: Int) {
        var budget = ShareBudget(perThousand: perThousand, reserve: reserve, burst: burst)
        for _ in 0..<10 { budget.payIn() }
        var taken = 0
        while taken < 100, budget.takeOne() { taken += 1 }
        #expect(taken == (reserve > 0 ? 100 : perThousand > 0 ? 10 : 0))
    }

    @Test("quantiles are never too small, and at most an eighth too large")
    func quantiles() {
        var random = SeededRandom(seed: 20_240_229)
        for spread in [10, 1_000, 100_000, 10_000_000, 1_000_000_000] {
            var estimate = LatencyEstimate()
            var values: [UInt64] = []
            for _ in 0..<999 {
                let value = UInt64(random.below(spread)) + 1
                values.append(value)
                estimate.add(value)
            }
            values.sort()
            for share in [0.01, 0.5, 0.95, 0.99, 1] {
                let exact = values[max(1, Int((Double(values.count) * share).rounded(.up))) - 1]
                guard let found = estimate.quantile(share) else {
                    Issue.record("no quantile")
                    return
                }
                #expect(found > exact || found >= exact, "\(share) of \(spread): \(found), not \(exact)")
                #expect(Double(found) <= Double(exact) * 1.126 + 1_024, "\(share) of \(spread): \(found), not \(exact)")
            }
        }
    }

    @Test("new latencies take over from old ones, and extremes have a place")
    func fading() {
        var estimate = LatencyEstimate()
        #expect(estimate.quantile(0.95) == nil)
        for _ in 0..<100_000 { estimate.add(50_000_000) }
        for _ in 0..<20 {
            estimate.fade()
            for _ in 0..<500 { estimate.add(1_000_000) }
        }
        #expect((estimate.quantile(0.5) ?? 0) < 1_200_000)
        #expect(estimate.total < 3_000)
        estimate.clear()
        #expect(estimate.quantile(0.5) == nil)
        estimate.add(0)
        estimate.add(.max)
        #expect(estimate.quantile(0) == 1_024)
        #expect((estimate.quantile(1) ?? 0) > 100_000_000_000)
    }
}
