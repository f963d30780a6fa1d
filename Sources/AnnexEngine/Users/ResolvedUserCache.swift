import AnnexCore
import Synchronization

/// Caches users who changed, as one version sees them: what one thread worked out serves all. Any thread may use it.
///
/// It is looked at only where a thread's own `ResolvedUserTable` does not have the user, and its locks are held for one
/// comparison. It holds at most `limitBytes`, whatever users have seen: where one more does not fit, others go.
final class ResolvedUserCache: Sendable {
    private static let shardCount = 64
    private static let slotsPerShard = 256

    private struct Slots {
        var users = [ResolvedUser?](repeating: nil, count: ResolvedUserCache.slotsPerShard)
        /// Holds the slot that is given up next.
        var hand = 0
    }

    private final class Shard: Sendable {
        let slots = Mutex(Slots())
    }

    private let shards = (0..<ResolvedUserCache.shardCount).map { _ in Shard() }
    private let held = Atomic<Int>(0)
    let limitBytes: Int

    init(limitBytes: Int = 64 << 20) { self.limitBytes = limitBytes }

    /// Counts bytes held now.
    var byteCount: Int { self.held.load(ordering: .relaxed) }

    /// The slot follows from the id, so that a user's older vector gives its slot up.
    private static func slot(_ id: Span<UInt8>) -> (shard: Int, slot: Int) {
        let number = id.fnv1a
        let shard = Int(number % UInt64(Self.shardCount))
        return (shard, Int(number / UInt64(Self.shardCount) % UInt64(Self.slotsPerShard)))
    }

    func find(_ counter: UInt64, _ id: Span<UInt8>) -> ResolvedUser? {
        let (shard, slot) = Self.slot(id)
        guard let found = self.shards[shard].slots.withLock({ $0.users[slot] }), found.isOf(counter, id) else {
            return nil
        }
        return found
    }

    /// Keeps a user. One who alone takes a quarter of the limit is not kept.
    func put(_ user: ResolvedUser) {
        guard user.byteCount <= self.limitBytes / 4 else { return }
        let id = user.id
        let (shard, slot) = Self.slot(id.span)
        // The old user is freed outside the lock.
        let old = self.shards[shard].slots.withLock { slots in
            defer { slots.users[slot] = user }
            return slots.users[slot]
        }
        let change = user.byteCount - (old?.byteCount ?? 0)
        var total = self.held.add(change, ordering: .relaxed).newValue
        var next = shard
        while total > self.limitBytes {
            guard let gone = self.giveUp(in: next, keeping: user) else {
                next = (next + 1) % Self.shardCount
                guard next != shard else { return }
                continue
            }
            total = self.held.subtract(gone.byteCount, ordering: .relaxed).newValue
        }
    }

    /// Takes one user out of a shard; nil where there is none but `kept`.
    private func giveUp(in shard: Int, keeping kept: ResolvedUser) -> ResolvedUser? {
        self.shards[shard].slots.withLock { slots in
            for _ in 0..<Self.slotsPerShard {
                let slot = slots.hand
                slots.hand = (slot + 1) % Self.slotsPerShard
                guard let user = slots.users[slot], user !== kept else { continue }
                slots.users[slot] = nil
                return user
            }
            return nil
        }
    }
}

/// Caches users for one thread, without locks. It begins anew when it holds too much: the shared cache has what is
/// needed again.
final class ResolvedUserTable {
    static let limitBytes = 8 << 20
    private static let slots = 4_096

    @safe @exclusivity(unchecked) private var users = [ResolvedUser?](repeating: nil, count: ResolvedUserTable.slots)
    private var byteCount = 0

    @inline(__always)
    func find(_ counter: UInt64, _ id: Span<UInt8>) -> ResolvedUser? {
        guard let found = self.users[Self.slot(id)], found.isOf(counter, id) else { return nil }
        return found
    }

    func put(_ user: ResolvedUser) {
        guard user.byteCount <= Self.limitBytes / 4 else { return }
        let id = user.id
        let slot = Self.slot(id.span)
        self.byteCount += user.byteCount - (self.users[slot]?.byteCount ?? 0)
        if self.byteCount > Self.limitBytes {
            self.users = [ResolvedUser?](repeating: nil, count: Self.slots)
            self.byteCount = user.byteCount
        }
        self.users[slot] = user
    }

    private static func slot(_ id: Span<UInt8>) -> Int {
        Int(id.fnv1a % UInt64(Self.slots))
    }
}
