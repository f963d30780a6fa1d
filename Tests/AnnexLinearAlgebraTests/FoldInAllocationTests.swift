#if canImport(CAllocationCounter)
import AnnexCore
import AnnexLinearAlgebra
import CAllocationCounter
import Testing

/// A solve is part of a query, and a query allocates nothing.
@Suite struct FoldInAllocationTests {
    @Test(arguments: FoldInTests.methods) func aSolverAllocatesNothing(_ method: FoldInModel.Method) throws {
        BLASThreads.set(1)
        var data = try FoldInCase(items: 600, dimension: 64, method: method)
        let solver = FoldInSolver(data.model)
        let history = data.history(500)
        var target = [Float](repeating: 0, count: 64)
        var parts = [Double](repeating: 0, count: 500)
        let rows = data.rows
        // The first round may make OpenBLAS's own buffers.
        let counts: [Int] = (0..<3).map { _ in
            let before = CAllocationCounter_count()
            var solved = solver.solve(count: 500, rows: rows.span, stride: 64, into: &target) {
                (Int32(history[$0].item), history[$0].weight)
            }
            solved =
                solver.contributions(to: 0, count: 500, rows: rows.span, stride: 64, into: &parts) {
                    (Int32(history[$0].item), history[$0].weight)
                } && solved
            return solved ? CAllocationCounter_count() - before : -1
        }
        #expect(counts.dropFirst().allSatisfy { $0 == 0 }, "\(counts)")
    }
}
#endif
