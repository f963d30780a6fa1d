import AnnexIndex
import Synchronization

/// A user as of one change, in one version: what a query needs. Immutable, shared by threads.
final class FoldedUser: Sendable {
    let id: [UInt8]
    /// The state's change counter of the user that this follows from; no other user or state has it.
    let counter: UInt64
    /// Nil where nothing is known to make one from.
    let vector: [Float]?
    /// Whether the vector was solved for; otherwise it is the one that the version has.
    let isSolved: Bool
    /// Ordinals that were seen, each once or twice.
    let seen: [Int32]
    /// The same as marks, where there are so many that marking them takes longer than a search; nil else.
    let marks: ExclusionMarks?

    init(id: [UInt8], counter: UInt64, vector: [Float]?, isSolved: Bool, seen: [Int32], rows: Int) {
        self.id = id
        self.counter = counter
        self.vector = vector
        self.isSolved = isSolved
        self.seen = seen
        guard Self.areMany(seen.count, of: rows) else {
            self.marks = nil
            return
        }
        var marks = ExclusionMarks(rows: rows)
        for ordinal in seen { marks.mark(ordinal) }
        self.marks = marks
    }

    /// Marks take a quarter of a byte per row: at most 32 bytes per item seen.
    static func areMany(_ seen: Int, of rows: Int) -> Bool { seen >= max(256, rows / 128) }

    /// Ids are compared too: a damaged record may lend a user the counter of another.
    func isOf(_ counter: UInt64, _ id: UnsafeRawBufferPointer) -> Bool {
        self.counter == counter && self.id.elementsEqual(id)
    }
}

/// Users who changed, as one version sees them: what one thread worked out serves all. Any thread.
///
/// Looked at only where a thread's own `FoldedUserTable` does not have the user; its locks are held for one comparison.
package final class FoldedUserCache: Sendable {
    static let shards = 64
    static let placesPerShard = 256

    private final class Shard: Sendable {
        let users = Mutex([FoldedUser?](repeating: nil, count: FoldedUserCache.placesPerShard))
    }

    private let all: [Shard]
    let solves = Atomic<Int>(0)
    let solveNanos = Atomic<Int>(0)

    private final class Place: Sendable {
        let running = Mutex<RunningHistory?>(nil)
    }

    private let places: [Place]

    /// - Parameter dimension: of stored vectors.
    init(dimension: Int) {
        self.all = (0..<Self.shards).map { _ in Shard() }
        let each = dimension * dimension * 8 + 16_384
        self.places = (0..<min(256, RunningHistory.mostBytes / each)).map { _ in Place() }
    }

    private func place(_ id: UnsafeRawBufferPointer) -> Place? {
        guard !self.places.isEmpty else { return nil }
        return self.places[Int(LiveUsers.number(id) % UInt64(self.places.count))]
    }

    func running(_ id: UnsafeRawBufferPointer) -> RunningHistory? {
        guard let found = self.place(id)?.running.withLock({ $0 }), found.id.elementsEqual(id) else { return nil }
        return found
    }

    func put(_ running: RunningHistory) {
        running.id.withUnsafeBytes { id in self.place(id)?.running.withLock { $0 = running } }
    }

    /// By the id, so that what a user was before gives its place up.
    private static func place(_ id: UnsafeRawBufferPointer) -> (shard: Int, place: Int) {
        let number = LiveUsers.number(id)
        let shard = Int(number % UInt64(Self.shards))
        return (shard, Int(number / UInt64(Self.shards) % UInt64(Self.placesPerShard)))
    }

    func find(_ counter: UInt64, _ id: UnsafeRawBufferPointer) -> FoldedUser? {
        let (shard, place) = Self.place(id)
        guard let found = self.all[shard].users.withLock({ $0[place] }), found.isOf(counter, id) else { return nil }
        return found
    }

    func count(_ spent: Duration) {
        self.solves.add(1, ordering: .relaxed)
        self.solveNanos.add(Int(spent / .nanoseconds(1)), ordering: .relaxed)
    }

    func put(_ user: FoldedUser) {
        let (shard, place) = user.id.withUnsafeBytes { Self.place($0) }
        self.all[shard].users.withLock { $0[place] = user }
    }
}

/// The same for one thread, without locks.
struct FoldedUserTable {
    private static let places = 4_096
    private var users = [FoldedUser?](repeating: nil, count: Self.places)

    @inline(__always)
    func find(_ counter: UInt64, _ id: UnsafeRawBufferPointer) -> FoldedUser? {
        guard let found = self.users[Self.place(id)], found.isOf(counter, id) else { return nil }
        return found
    }

    mutating func put(_ user: FoldedUser) { self.users[user.id.withUnsafeBytes { Self.place($0) }] = user }

    private static func place(_ id: UnsafeRawBufferPointer) -> Int {
        Int(LiveUsers.number(id) % UInt64(Self.places))
    }
}
