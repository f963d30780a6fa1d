import NIOCore

/// Reaches all loops of a server: asks each the same, tells each the same, and closes the connection that holds most
/// when all clients together hold too much.
final class ServerLoops: Sendable {
    let all: [LoopContext]
    private let shared: ServerShared

    /// `all` is not empty.
    init(_ all: [LoopContext], shared: ServerShared) {
        self.all = all
        self.shared = shared
        // A server must be able to end while somebody holds what it shares.
        shared.relieve { [weak self] onlyStalled in self?.evictBiggest(onlyStalled: onlyStalled) }
    }

    /// Runs `body` on every loop; the results arrive on `eventLoop`, in no particular order of execution.
    func gather<T: Sendable>(
        on eventLoop: any EventLoop,
        _ body: @escaping @Sendable (LoopContext) -> T
    ) -> EventLoopFuture<[T]> {
        let futures = self.all.map { loop in loop.eventLoop.submit { body(loop) } }
        return EventLoopFuture.whenAllSucceed(futures, on: eventLoop)
    }

    /// Changes several settings or, if one cannot be changed, none. Loops follow within their next tick.
    func change(_ pairs: [(name: String, value: String)]) -> (name: String, change: ServerParameters.Change)? {
        if let failed = self.shared.change(pairs) { return failed }
        for loop in self.all {
            loop.eventLoop.execute { loop.apply(loop.shared.current) }
        }
        return nil
    }

    /// Closes the connection that holds most: of those that take none of their replies at first where only they are
    /// meant, and of all where the sum is above the limit.
    private func evictBiggest(onlyStalled: Bool) {
        self.gather(on: self.all[0].eventLoop) { loop in
            loop.publishHeldBytes()
            return (loop, loop.biggest(onlyStalled: onlyStalled))
        }.whenSuccess { candidates in
            let biggest = candidates.max { $0.1?.bytes ?? 0 < $1.1?.bytes ?? 0 }
            let limit = self.shared.configuration.allClientsBytes
            guard self.shared.isAboveLimit || onlyStalled, let (loop, found) = biggest, let (id, bytes) = found,
                bytes > 0
            else { return self.shared.relieved() }
            loop.eventLoop.execute {
                loop.evict(id, "all clients together hold more than \(limit) bytes")
                guard onlyStalled else { return self.evictBiggest(onlyStalled: false) }
                self.shared.relieved()
            }
        }
    }
}
