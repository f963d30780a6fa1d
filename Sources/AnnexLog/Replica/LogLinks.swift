import NIOCore

/// The two connections of a replica to its log. On the loop.
struct LogLinks: Sendable {
    let append: RedisConnection
    let read: RedisConnection

    init(_ append: RedisConnection, _ read: RedisConnection) {
        self.append = append
        self.read = read
    }

    func close(_ reason: String) {
        self.append.close(reason)
        self.read.close(reason)
    }

    /// How long the log owes an answer; a read may take `reading` longer. Nil where nothing is owed.
    func silence(at now: NIODeadline, reading: TimeAmount) -> TimeAmount? {
        let longest = max(self.append.silence(at: now), self.read.silence(at: now) - reading)
        return longest > .zero ? longest : nil
    }
}
