import Glibc
import Synchronization

/// SIGTERM and SIGINT as something to wait for.
final class StopSignals: Sendable {
    private let stream: AsyncStream<String>
    private let flag: ServingFlag
    /// Never touched again; kept so that they stay armed.
    nonisolated(unsafe) private let signals: StoppingSignals

    init() {
        let (stream, continuation) = AsyncStream<String>.makeStream()
        self.stream = stream
        let isServing = ServingFlag()
        self.flag = isServing
        self.signals = StoppingSignals { name in
            // Nobody was answered yet, so there is nothing to drain.
            if !isServing.value.load(ordering: .relaxed) { _exit(0) }
            continuation.yield(name)
        }
    }

    /// From now on a signal drains; before it ends the process.
    func servingBegins() { self.flag.value.store(true, ordering: .relaxed) }

    /// Returns at the next signal, or after that time.
    func wait(atMost time: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = await self.wait() }
            group.addTask { try? await Task.sleep(for: time) }
            await group.next()
            group.cancelAll()
        }
    }

    func wait() async -> String {
        for await name in self.stream { return name }
        return "none"
    }
}

/// Whether anybody may have been answered.
private final class ServingFlag: Sendable {
    let value = Atomic<Bool>(false)
}
