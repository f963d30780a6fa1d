import AnnexCore
import Synchronization

/// Keeps long histories of one version that get more events. Any thread may use it. It holds at most `limitBytes`.
final class IncrementalFoldInCache: Sendable {
    /// The limit for all users of a version together.
    static let defaultLimitBytes = 48 << 20

    private final class Slot: Sendable {
        let history = Mutex<IncrementalFoldIn?>(nil)
    }

    private let slots: [Slot]
    private let held = Atomic<Int>(0)
    private let hand = Atomic<Int>(0)
    let limitBytes: Int

    /// - Parameter dimension: of stored vectors.
    init(dimension: Int, limitBytes: Int = IncrementalFoldInCache.defaultLimitBytes) {
        self.limitBytes = limitBytes
        let least = IncrementalFoldIn.State.equationBytes(dimension) + 16_384
        self.slots = (0..<min(256, limitBytes / least)).map { _ in Slot() }
    }

    /// Counts bytes held now.
    var byteCount: Int { self.held.load(ordering: .relaxed) }

    private func slot(_ id: Span<UInt8>) -> Slot? {
        guard !self.slots.isEmpty else { return nil }
        return self.slots[Int(id.fnv1a % UInt64(self.slots.count))]
    }

    func find(_ id: Span<UInt8>) -> IncrementalFoldIn? {
        guard let found = self.slot(id)?.history.withLock({ $0 }), id.elementsEqual(found.id) else { return nil }
        return found
    }

    /// Keeps a history. A user who alone takes a quarter of the limit, some 600,000 items, is not kept.
    func put(_ history: IncrementalFoldIn) {
        guard history.byteCount <= self.limitBytes / 4 else { return }
        let id = history.id
        if let slot = self.slot(id.span) {
            let old = slot.history.withLock { kept in
                defer { kept = history }
                return kept
            }
            self.forget(old)
        }
        self.recount(history)
    }

    /// Drops the equation of a user whose history has changed.
    func recount(_ history: IncrementalFoldIn) {
        let bytes = history.byteCount
        var before = history.countedBytes.load(ordering: .relaxed)
        while true {
            guard before != IncrementalFoldIn.forgotten else { return }
            let (isDone, found) = history.countedBytes.compareExchange(
                expected: before,
                desired: bytes,
                ordering: .relaxed
            )
            if isDone { break }
            before = found
        }
        self.held.add(bytes - before, ordering: .relaxed)
        var looked = 0
        while self.byteCount > self.limitBytes, looked < self.slots.count {
            let slot = self.slots[self.hand.add(1, ordering: .relaxed).oldValue & Int.max % self.slots.count]
            self.forget(
                slot.history.withLock { kept in
                    defer { kept = nil }
                    return kept
                }
            )
            looked += 1
        }
    }

    private func forget(_ history: IncrementalFoldIn?) {
        guard let history else { return }
        let counted = history.countedBytes.exchange(IncrementalFoldIn.forgotten, ordering: .relaxed)
        if counted != IncrementalFoldIn.forgotten { self.held.subtract(counted, ordering: .relaxed) }
    }
}
