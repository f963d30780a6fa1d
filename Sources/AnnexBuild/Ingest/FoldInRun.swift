import AnnexCore
import AnnexIndex
import AnnexLinearAlgebra
import AnnexStore
import Dispatch
import Synchronization

/// Solves vectors of many users from their histories, by several threads with a solver each. What comes out does not
/// depend on how many there are.
struct FoldInRun: Sendable {
    let model: FoldInModel
    let vectors: VectorFile
    let histories: HistoryIngest
    let threads: Int

    /// Returns the vectors of some users, one after the other, each `dimension` floats; nil for one without a solution
    /// of a length that searches compute with. Blocks.
    func solve(_ users: ArraySlice<Int>) -> [[Float]?] {
        guard !users.isEmpty else { return [] }
        let workers = max(1, min(self.threads, users.count))
        let share = (users.count + workers - 1) / workers
        let results = Mutex([[[Float]?]](repeating: [], count: workers))
        DispatchQueue.concurrentPerform(iterations: workers) { worker in
            let low = min(users.startIndex + worker * share, users.endIndex)
            let part = self.work(users[low..<min(low + share, users.endIndex)])
            results.withLock { $0[worker] = part }
        }
        return results.withLock { $0 }.flatMap { $0 }
    }

    private func work(_ users: ArraySlice<Int>) -> [[Float]?] {
        let solver = FoldInSolver(self.model)
        return users.map { user in
            let history = Array(self.histories.history(of: user))
            var vector = [Float](repeating: 0, count: self.model.dimension)
            let solved = self.vectors.withRows { rows in
                solver.solve(count: history.count, rows: rows, stride: self.vectors.stride, into: &vector) { index in
                    (history[index].ordinal, Double(history[index].weight))
                }
            }
            let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            return solved && VectorLength.problem(length, metric: .ip) == nil ? vector : nil
        }
    }
}

/// Measures how far solved vectors are from the trainer's.
struct FoldInDistances {
    private var all: [Float] = []

    /// Adds ‖x − x₀‖ / ‖x₀‖. A trainer's vector of length 0 has no distance.
    mutating func add(_ solved: [Float], _ trained: Span<Float>) {
        var (difference, length) = (0.0, 0.0)
        for (index, x) in solved.enumerated() {
            let before = trained[index]
            difference += (Double(x) - Double(before)) * (Double(x) - Double(before))
            length += Double(before) * Double(before)
        }
        if length > 0 { self.all.append(Float((difference / length).squareRoot())) }
    }

    /// It is nil where there is none.
    var mean: Double? {
        self.all.isEmpty ? nil : self.all.reduce(0.0) { $0 + Double($1) } / Double(self.all.count)
    }

    /// Returns the smallest that 99 % do not exceed. It is nil where there is none. O(users × log users).
    var percentile99: Double? {
        guard !self.all.isEmpty else { return nil }
        return Double(self.all.sorted()[(self.all.count * 99 + 99) / 100 - 1])
    }
}
