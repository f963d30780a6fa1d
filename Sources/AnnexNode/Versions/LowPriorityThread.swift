import AnnexCore
import Foundation
import Glibc
import Synchronization

/// Runs `body` on a thread of its own that gives way to those that answer clients. Blocks until it is done.
enum LowPriorityThread {
    private static let niceness: Int32 = 10

    static func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) throws -> R {
        let result = Mutex<Result<R, any Error>?>(nil)
        let end = DispatchSemaphore(value: 0)
        let thread = Thread {
            // The priority is that of this thread only, and of those that it starts.
            setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.niceness)
            let outcome = Result { try body() }
            result.withLock { $0 = outcome }
            end.signal()
        }
        thread.name = "annex-loader"
        thread.stackSize = 4 << 20
        thread.start()
        end.wait()
        guard let outcome = result.withLock({ $0.take() }) else {
            throw AnnexError(.system, "a thread ended without a result")
        }
        return try outcome.get()
    }
}
