import Dispatch
import Synchronization

/// Calls back again and again, on a queue of its own, from `start` to `stop`. Any thread may use it. One that was never
/// started may go too, which a bare source of Dispatch must not.
final class RepeatingTimer: Sendable {
    /// Once it is active the source is only scheduled and cancelled, which any thread may do.
    nonisolated(unsafe) private let source: any DispatchSourceTimer
    private let body = Mutex<(@Sendable () -> Void)?>(nil)

    init(_ label: String) {
        self.source = DispatchSource.makeTimerSource(queue: DispatchQueue(label: label))
        self.source.setEventHandler { [weak self] in
            let body = self?.body.withLock { $0 }
            body?()
        }
        self.source.activate()
    }

    deinit { self.source.cancel() }

    /// Calls for the first time after `seconds`, and then as often.
    func start(every seconds: Double, _ body: @escaping @Sendable () -> Void) {
        self.body.withLock { $0 = body }
        self.source.schedule(deadline: .now() + seconds, repeating: seconds)
    }

    /// Begins no call any more; does not wait for one that runs.
    func stop() {
        self.source.cancel()
        self.body.withLock { $0 = nil }
    }
}
