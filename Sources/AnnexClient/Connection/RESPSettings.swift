package import NIOCore

/// Where a connection goes, what is said on it first, and what is taken from the other side.
package struct RESPSettings: Sendable {
    package var host: String
    package var port: Int
    /// Commands that go out first. The connection is of use when all of them are answered, none with an error.
    package var greeting: [[[UInt8]]] = []
    /// Until the system has a connection.
    package var connectTimeout = TimeAmount.seconds(5)
    /// For the answers to the greeting; nil: as long as connecting.
    package var greetingTimeout: TimeAmount?
    package var limits = ReplyLimits()
    /// The system asks now and then whether the other side still exists.
    package var keepsAlive = false
    /// One read of the socket in each turn of the loop: a second one would most often only say that there is no more.
    package var readsOncePerTurn = false
    /// Whatever comes in gives the oldest request its whole time again. For replies that may be long on a slow network.
    package var progressExtendsDeadlines = false

    package init(host: String, port: Int) { (self.host, self.port) = (host, port) }

    /// For messages.
    package var address: String { "\(self.host):\(self.port)" }

    package static func auth(_ password: String) -> [[UInt8]] { [Array("AUTH".utf8), Array(password.utf8)] }
}

/// How much of a reply is kept in memory.
package struct ReplyLimits: Sendable {
    /// Of one bulk string.
    package var bulkBytes = 512 << 20
    /// Of one array, map, set or push.
    package var elements = 1 << 24
    /// Of one reply as it comes, all in all.
    package var replyBytes = 1 << 30
    /// A bulk string or an array that is too large is dropped as it comes, and null stands in its place; `replyBytes` does not
    /// count then. Otherwise it ends the connection.
    package var passesOver = false

    package init() {}
}
