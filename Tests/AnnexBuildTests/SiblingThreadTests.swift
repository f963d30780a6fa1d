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
                // All at once, so that none does the work of another: the last one lets all go on.
                let isLast = crew.begun.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue == 3
                if isLast { for _ in 0..<3 { crew.allBegan.signal() } }
                #expect(crew.allBegan.wait(timeout: .now() + 30) == .success)
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
    let allBegan = DispatchSemaphore(value: 0)
    let found = Mutex<[Int32]>([])
}
