/// Decides what one connection may do next. Pure: events go in, actions come out, no I/O happens here.
///
/// A connection answers strictly in the order of its commands. Its state carries what belongs to it: a connection that waits
/// knows what it does when the replies before have gone out, one that finishes knows whether the close was begun. Beside
/// the state stand the queue of replies that are owed, and what is known of the socket's two directions.
package struct ConnectionStateMachine: ~Copyable {
    /// Says which step follows when all replies that are owed have gone out.
    enum Next: Equatable {
        /// The next command is parsed.
        case parse
        /// A command was parsed that may not run beside those before it.
        case request
        /// The client is told of a protocol error; the connection closes.
        case failure(String)
        case close
    }

    private enum State: Equatable {
        /// Parses and answers. `inTurn`: it is doing so right now.
        case serving(inTurn: Bool)
        /// There are more commands, but other connections come first.
        case yielded
        /// Replies must come before anything else of this connection runs.
        case waiting(Next)
        /// Writes what it has and closes.
        case finishing(isClosing: Bool)
        /// All is written, and the client knows that nothing follows; what it still sends is read and dropped.
        case lingering
        case closed
    }

    private var state = State.serving(inTurn: false)
    /// Holds the step that a waiting connection put off, and takes now.
    private var resumed: Next?
    private var isWritable = true
    private var inputEnded = false
    private var inputStopped = false
    private var inputIsQuiet = false
    private var readIsHeld = false
    /// Replies that others owe.
    package var pending = PendingReplies()
    /// Holds the commands that MULTI made the connection keep, and those of them that EXEC runs.
    package var transaction = Transaction()

    package init() {}

    // MARK: Questions

    /// Tells whether the next command may be parsed and answered.
    package var mayParse: Bool {
        guard case .serving = self.state else { return false }
        return self.isWritable
    }

    /// Tells whether bytes may be read from the socket. They may not while a reply is outstanding or the client does
    /// not read, so what is held for one client stays bounded.
    package var mayRead: Bool { self.isLingering || (self.mayParse && !self.inputEnded && !self.inputStopped) }

    package var isWaiting: Bool {
        guard case .waiting = self.state else { return false }
        return true
    }

    /// Nothing but the connection's own silence is to be waited for.
    package var isServing: Bool {
        guard case .serving = self.state else { return false }
        return true
    }

    package var isFinishing: Bool {
        guard case .finishing = self.state else { return false }
        return true
    }

    package var isLingering: Bool { self.state == .lingering }

    package var isClosed: Bool { self.state == .closed }

    /// Tells whether bytes that come in are still of interest.
    package var takesInput: Bool { !self.isFinishing && !self.isLingering && !self.isClosed }

    /// Tells whether a parsed command is kept until replies have gone out.
    package var keepsRequest: Bool { self.state == .waiting(.request) || self.resumed == .request }

    // MARK: Turns

    package mutating func beginTurn() { if self.isServing { self.state = .serving(inTurn: true) } }

    package mutating func endTurn() { if self.isServing { self.state = .serving(inTurn: false) } }

    /// The turn is over, with commands left.
    package mutating func yield() { if self.isServing { self.state = .yielded } }

    /// Begins the next turn of a connection that yielded. Returns true where it is to be served.
    package mutating func resume() -> Bool {
        guard self.state == .yielded else { return false }
        self.state = .serving(inTurn: false)
        return self.isWritable
    }

    // MARK: Commands

    /// Returns the step that was put off. With nil the next request is parsed.
    mutating func takeResumed() -> Next? {
        defer { self.resumed = nil }
        return self.resumed
    }

    /// Takes in that a command was parsed. Returns true where it is answered now, false where it is kept until the
    /// replies before it have gone out.
    ///
    /// - Parameter mayOvertake: whether it may run while those are owed.
    package mutating func admit(mayOvertake: Bool) -> Bool {
        if self.pending.isEmpty || mayOvertake { return true }
        self.state = .waiting(.request)
        return false
    }

    /// Ends a connection whose client broke the protocol. Returns the text to send now; nil where replies must go out before.
    package mutating func fail(_ text: String) -> String? {
        guard self.pending.isEmpty else {
            self.state = .waiting(.failure(text))
            return nil
        }
        self.finish()
        return text
    }

    /// A command was given to somebody else, and nothing may run beside it.
    package mutating func waitForReplies() { if self.isServing { self.state = .waiting(.parse) } }

    /// All complete commands have been answered or handed on. The rest of the input, if any, can no longer become a command
    /// when the input has ended.
    package mutating func ranDry() {
        guard self.isServing else { return }
        if !self.pending.isEmpty {
            self.state = .waiting(.parse)
        } else if self.inputEnded || self.inputStopped {
            self.state = .finishing(isClosing: false)
        }
    }

    /// The last reply that was owed is in the output buffer.
    package mutating func repliesWentOut() {
        guard case .waiting(let next) = self.state else { return }
        if next == .close { return self.finish() }
        self.state = .serving(inTurn: false)
        self.resumed = next == .parse ? nil : next
    }

    // MARK: The socket

    package mutating func outputIsBlocked() { self.isWritable = false }

    /// The client takes bytes again. True: serve. Within a turn the turn goes on by itself.
    package mutating func outputDrained() -> Bool {
        guard !self.isWritable else { return false }
        self.isWritable = true
        return self.state == .serving(inTurn: false)
    }

    /// The channel wants to read. True: let it; false: it is asked again later.
    package mutating func readWanted() -> Bool {
        self.readIsHeld = !self.mayRead
        return !self.readIsHeld
    }

    /// Tells whether a read that was held back can go on now.
    package mutating func takeHeldRead() -> Bool {
        guard self.readIsHeld, self.mayRead else { return false }
        self.readIsHeld = false
        return true
    }

    /// The client sends nothing more. What it sent is still answered.
    package mutating func inputClosed() { self.inputEnded = true }

    /// The server reads nothing more from this client. What was received is still answered.
    ///
    /// - Parameter isQuiet: whether the client has sent nothing for a while.
    package mutating func stopReading(isQuiet: Bool) {
        self.inputStopped = true
        self.inputIsQuiet = isQuiet
    }

    // MARK: The end

    /// Takes no further command after QUIT, a protocol error or a limit.
    package mutating func finish() { if self.takesInput { self.state = .finishing(isClosing: false) } }

    /// Takes no command after the one being answered, and closes when its reply is written.
    package mutating func finishAfterReplies() {
        if self.isWaiting || !self.pending.isEmpty { self.state = .waiting(.close) } else { self.finish() }
    }

    /// Tells whether the connection is to be closed as soon as all is written. It says so once.
    package mutating func beginClosing() -> Bool {
        guard self.state == .finishing(isClosing: false) else { return false }
        self.state = .finishing(isClosing: true)
        return true
    }

    /// All is written. Returns true where the client may still be sending: a socket that is closed with bytes of its in it
    /// makes the kernel drop what it has not read yet, which is why it was closed.
    package mutating func linger() -> Bool {
        guard self.state == .finishing(isClosing: true), !self.inputEnded, !self.inputIsQuiet else { return false }
        self.state = .lingering
        self.transaction = Transaction()
        return true
    }

    package mutating func closed() {
        self.state = .closed
        self.pending.removeAll()
        self.transaction = Transaction()
    }
}
