package import AnnexClient
package import NIOCore

extension LogAddress {
    /// Replies are entries that this project wrote, with ids of 255 bytes at most. What is larger is none: it is passed over as
    /// it comes, so that nothing in a stream can stop who reads it.
    private static let bulkLimit = 4 << 10
    /// The limit is above what one read asks for of one stream.
    private static let elementLimit = 4 << 10

    /// The most memory of one reply, though it may have 64 entries of each of 16 streams. Entries behind are asked for again.
    package static let replyLimit = 8 << 20

    /// Returns a connection that says who it is and waits for the answer.
    package func connection(timeout: TimeAmount) -> RESPSettings {
        var settings = RESPSettings(host: self.host, port: self.port)
        settings.greeting = self.greetings
        settings.connectTimeout = timeout
        settings.keepsAlive = true
        settings.progressExtendsDeadlines = true
        settings.limits.bulkBytes = Self.bulkLimit
        settings.limits.elements = Self.elementLimit
        settings.limits.passesOver = true
        settings.limits.keptBytes = Self.replyLimit
        return settings
    }
}
