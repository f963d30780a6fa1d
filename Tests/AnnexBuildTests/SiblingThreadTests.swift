import AnnexBuild
import Dispatch
import Foundation
import Glibc
import Synchronization
import Testing

/// Hashing at a swap gives way to what answers clients, in all of its threads.
@Suite struct SiblingThreadTests {
    /// Of the thread that asks.
    private static func niceness() -> Int32 { getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0) }

    @Test func theyHaveTheirCallersPriority() {
        let crew = Crew()
        let end = DispatchSemaphore(value: 0)
        // A thread of its own, as a niceness cannot be taken back.
        let caller = Thread {
            setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
            SiblingThreads.run(3) {
                crew.begun.wrappingAdd(1, ordering: .sequentiallyConsistent)
                // All at once, so that none does the work of another.
                while crew.begun.load(ordering: .sequentiallyConsistent) < 3 { usleep(100) }
                crew.found.withLock { $0.append(Self.niceness()) }
            }
            end.signal()
        }
        caller.start()
        end.wait()
        #expect(crew.found.withLock { $0 } == [10, 10, 10])
        #expect(Self.niceness() == 0, "nobody else gives way")
    }

    @Test func oneThreadIsTheCaller() {
        let crew = Crew()
        SiblingThreads.run(1) { crew.begun.wrappingAdd(1, ordering: .relaxed) }
        #expect(crew.begun.load(ordering: .relaxed) == 1)
    }
}

private final class Crew: Sendable {
    let begun = Atomic<Int>(0)
    let found = Mutex<[Int32]>([])
}
