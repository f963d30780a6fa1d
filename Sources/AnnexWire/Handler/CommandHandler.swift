package import AnnexCore
package import NIOCore

/// Says what becomes of a command after its handler looked at it. It is the one way to answer now, elsewhere, or later.
package enum Disposition: Sendable {
    /// The reply is written.
    case done
    /// The reply is written; the connection closes when it has been sent.
    case close
    /// `work` runs on another thread. The reply comes in the command's turn, and nothing else of the connection runs until
    /// then. The closure writes exactly one reply; what it holds is counted as the request's bytes. It looks at the signal now
    /// and then: once it was told to stop, what it has written is dropped, and an error goes out in its place.
    case elsewhere(WorkClass, work: @Sendable (inout ReplyWriter, StopSignal) -> Void)
    /// The reply comes in the command's turn, as soon as the promise is fulfilled; no thread waits for it. Until then only
    /// commands of the same pipeline class run on the connection. `start` runs at once, on the loop, and must not block.
    ///
    /// - Parameter bytes: what is held for the command until it is answered.
    case pending(bytes: Int, start: @Sendable (ReplyPromise) -> Void)
}

/// Says which threads run what leaves the loop, so that what takes seconds does not stand in the way of what takes
/// milliseconds.
package enum WorkClass: Sendable, CaseIterable {
    /// The work is a query that takes longer than a loop may be kept.
    case query
    /// The work makes numbers for people who look at a server in trouble. It must not wait behind queries.
    case report
}

/// A reply that somebody owes a connection.
package struct ReplyPromise: Sendable {
    package typealias Writing = @Sendable (inout ReplyWriter) -> Void
    package typealias Work = @Sendable () -> @Sendable () -> Void

    private let sink: any ReplySink
    private let number: Int

    /// - Parameter number: which of the replies that the sink waits for.
    package init(_ sink: any ReplySink, number: Int) {
        self.sink = sink
        self.number = number
    }

    /// Gives the reply; exactly once, on any thread. `write` runs on the connection's loop and writes exactly one reply.
    package func fulfil(_ write: @escaping Writing) { self.sink.fulfil(self.number, write) }

    /// Gives the reply, or its next piece, as bytes. On the connection's loop only, and not before `handle` has returned.
    package func fulfilNow(_ bytes: ByteBuffer, isLast: Bool = true) {
        self.sink.fulfilNow(self.number, bytes, isLast: isLast)
    }

    /// Tells the connection that more (or fewer) bytes are held for the reply. It may be called on the connection's
    /// loop only.
    ///
    /// - Returns: nil where that is fine; else how many bytes one reply may hold: let go of them and send an error.
    package func hold(_ change: Int) -> Int? { self.sink.hold(self.number, change) }

    /// Has `work` run on a thread for queries, and then, on the connection's loop, what it returns. An error is the
    /// reply where too many commands wait for those threads, or this one waited too long. Neither runs once nobody
    /// waits for the reply. It may be called on the connection's loop only.
    package func elsewhere(_ work: @escaping Work) { self.sink.elsewhere(self.number, work) }

    /// Closes the connection, because the rest of a reply that has begun will not come. It may be called on its loop
    /// only.
    package func cut() { self.sink.cut() }
}

/// Is a connection as those see it who owe it replies.
package protocol ReplySink: AnyObject, Sendable {
    /// Any thread may call it.
    func fulfil(_ number: Int, _ write: @escaping ReplyPromise.Writing)
    func fulfilNow(_ number: Int, _ bytes: ByteBuffer, isLast: Bool)
    func hold(_ number: Int, _ change: Int) -> Int?
    func elsewhere(_ number: Int, _ work: @escaping ReplyPromise.Work)
    func cut()
}

/// Holds the part of a connection that handlers may know and change.
package struct ConnectionState: Sendable {
    package let id: UInt64
    /// Names the client's address and port.
    package let address: String
    package var name = ""
    package var libName = ""
    package var libVer = ""
    package var respVersion = RESPVersion.two
    package var authenticated: Bool
    /// Holds the handler's memory of the connection, for as long as it is open.
    package var memory: (any AnyObject & Sendable)?
    /// Tells whether replies to changes tell where they stand in the log.
    package var givesPositions = false
    /// Holds the time after which the command at hand must not begin any more: milliseconds since 1970, as DEADLINE
    /// before it said.
    package var deadline: Int64?

    package init(id: UInt64, address: String, authenticated: Bool) {
        self.id = id
        self.address = address
        self.authenticated = authenticated
    }
}

/// Carries out the commands that do not concern the connection itself. Each event loop has one, and only that loop
/// calls it.
package protocol CommandHandler: AnyObject {
    /// Writes exactly one reply, unless the answer is `.elsewhere` or `.pending`. The request's arity has been checked.
    func handle(
        _ id: HandlerCommand,
        _ request: Request,
        connection: inout ConnectionState,
        reply: inout ReplyWriter
    ) -> Disposition

    /// Takes changes that are to be stored together: EVENT, EVENT.DEL and FORGET, whose arity has been checked. Checks all of
    /// them and stores none yet.
    ///
    /// - Throws: why none of them may be stored.
    func batch(_ changes: [Request], connection: inout ConnectionState) throws(ArgumentFailure) -> ChangeBatch

    /// The connection is closed: nobody waits for the replies that it is still owed.
    func abandon(_ connection: ConnectionState)

    /// The loop is about to end, and no connection is left: nothing that the handler began may come back to the loop from now on.
    func stop()
}

extension CommandHandler {
    package func abandon(_ connection: ConnectionState) {}

    package func stop() {}

    package func batch(_ changes: [Request], connection: inout ConnectionState) throws(ArgumentFailure) -> ChangeBatch {
        throw ArgumentFailure("this server stores no changes")
    }
}
