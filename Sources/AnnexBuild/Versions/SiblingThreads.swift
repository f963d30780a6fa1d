import Foundation
import Synchronization

/// Runs threads that have the priority of the thread that starts them. Dispatch's have not: work that gives way to
/// clients would compete with them in half of its threads.
///
/// Linux has a niceness for each thread, which those that it starts inherit (setpriority(2), "C library/kernel differences").
package enum SiblingThreads {
    /// Runs `body` on `count` threads, the caller's being one. Blocks until all are done.
    package static func run(_ count: Int, _ body: @escaping @Sendable () -> Void) {
        let group = DispatchGroup()
        for _ in 1..<max(1, count) {
            group.enter()
            let thread = Thread {
                body()
                group.leave()
            }
            thread.name = "annex-hash"
            thread.stackSize = 1 << 20
            thread.start()
        }
        body()
        group.wait()
    }
}
