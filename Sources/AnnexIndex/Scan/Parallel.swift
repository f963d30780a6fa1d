import Dispatch
import Synchronization

/// Work that falls into independent parts.
enum Parallel {
    /// Returns the results of `body(0)` ..< `body(count)`, in order, computed by up to `workers` threads. Blocks.
    static func map<R: Sendable>(_ count: Int, workers: Int, _ body: @Sendable (Int) -> R) -> [R] {
        guard count > 1, workers > 1 else { return (0..<count).map(body) }
        let results = Mutex([R?](repeating: nil, count: count))
        let next = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: min(workers, count)) { _ in
            while true {
                let turn = next.add(1, ordering: .relaxed).oldValue
                guard turn < count else { return }
                let result = body(turn)
                results.withLock { $0[turn] = result }
            }
        }
        return results.withLock { $0.compactMap { $0 } }
    }
}
