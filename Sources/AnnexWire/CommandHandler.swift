/// What becomes of a command after the handler looked at it.
package enum Disposition: Sendable {
    /// The reply is written.
    case done
    /// The reply is written; close when it has been sent.
    case close
    /// Run this on a worker thread; its reply comes in the command's turn, and nothing else of the connection runs until
    /// then. The closure writes exactly one reply.
    case deferred(@Sendable (inout ReplyWriter) -> Void)
    /// The reply comes in the command's turn as soon as somebody gives it; no thread waits for it. Until then nothing else of
    /// the connection runs but commands with `mayFollowOwed`. The closure runs at once, on the loop, and must not block.
    case later(@Sendable (LateReply) -> Void)
}

/// A reply that somebody owes a connection.
package struct LateReply: Sendable {
    package typealias Writing = @Sendable (inout ReplyWriter) -> Void

    private let deliver: @Sendable (@escaping Writing) -> Void

    package init(_ deliver: @escaping @Sendable (@escaping Writing) -> Void) { self.deliver = deliver }

    /// Gives it; exactly once, on any thread. `write` runs on the connection's loop and writes exactly one reply.
    package func give(_ write: @escaping Writing) { self.deliver(write) }
}

/// What handlers may know and change of a connection.
package struct ConnectionState: Sendable {
    package let id: UInt64
    /// The client's address and port.
    package let address: String
    package var name = ""
    package var libName = ""
    package var libVer = ""
    package var respVersion = RESPVersion.two
    package var authenticated: Bool
    /// Whether replies to changes tell where they stand in the log.
    package var givesPositions = false

    package init(id: UInt64, address: String, authenticated: Bool) {
        self.id = id
        self.address = address
        self.authenticated = authenticated
    }
}

/// The meaning of the commands that do not concern the connection itself. One per event loop, called only on it.
package protocol CommandHandler: AnyObject {
    /// Writes exactly one reply, unless the answer is `.deferred` or `.later`. The request's arity has been checked.
    func handle(
        _ id: CommandID,
        _ request: Request,
        connection: inout ConnectionState,
        reply: inout ReplyWriter
    ) -> Disposition
}
