package import NIOCore

/// Sets a connection's address, its greeting, and the limits for replies.
package struct RESPSettings: Sendable {
    package var host: String
    package var port: Int
    /// Holds commands that go out first. The connection is of use when all of them are answered, none with an error.
    package var greeting: [[[UInt8]]] = []
    /// The system must have a connection within this time.
    package var connectTimeout = TimeAmount.seconds(5)
    /// The time for the answers to the greeting; nil: that for connecting.
    package var greetingTimeout: TimeAmount?
    package var limits = ReplyLimits()
    /// The system asks now and then whether the other side still exists.
    package var keepsAlive = false
    /// One read of the socket in each turn of the loop: a second one would most often only say that there is no more.
    package var readsOncePerTurn = false
    /// Whatever comes in gives the oldest request its whole time again. For replies that may be long on a slow network.
    package var progressExtendsDeadlines = false

    /// - Parameter password: with one, the greeting begins with AUTH.
    package init(host: String, port: Int, password: String? = nil) {
        (self.host, self.port) = (host, port)
        if let password { self.greeting = [Self.auth(password)] }
    }

    /// Returns the address as messages show it.
    package var address: String { "\(self.host):\(self.port)" }

    package static func auth(_ password: String) -> [[UInt8]] { [Array("AUTH".utf8), Array(password.utf8)] }
}

/// Says how much of a reply is kept in memory. A fresh value suits whoever asks short questions; `anything` is for a
/// person's.
package struct ReplyLimits: Sendable {
    /// One bulk string has at most so many bytes.
    package var bulkBytes = 64 << 10
    /// One array, map, set or push has at most so many elements.
    package var elements = 1 << 16
    /// The most bytes of one whole reply, as it comes.
    package var replyBytes = 1 << 20
    /// The most bytes that are kept of one reply, with 128 for each element: what comes behind is dropped, and `cut` stands in its
    /// place.
    package var keptBytes = Int.max
    /// A bulk string or an array that is too large is dropped as it comes, and null stands in its place; `replyBytes` does not
    /// count then. Otherwise it ends the connection.
    package var passesOver = false

    package init() {}

    /// Takes any reply that a server of this project gives.
    package static let anything: ReplyLimits = {
        var limits = ReplyLimits()
        (limits.bulkBytes, limits.elements, limits.replyBytes) = (512 << 20, 1 << 24, 1 << 30)
        return limits
    }()
}
