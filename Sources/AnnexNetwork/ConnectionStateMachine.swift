/// What one connection may do next. Pure: events go in, an `Action` comes out, no I/O happens here.
///
/// A connection answers strictly in the order of its commands, so at any time it is in one phase: `serving` parses
/// and answers; `waiting` has one command whose reply is made elsewhere; `yielded` has more commands but lets other
/// connections go first; `finishing` writes what it has and closes; `closed` does nothing more. Apart from the phase it
/// remembers whether the client's socket takes more bytes and whether the client will send any.
package struct ConnectionStateMachine: ~Copyable {
    package enum Phase: Equatable { case serving, waiting, yielded, finishing, closed }

    package enum Action: Equatable {
        /// Nothing to do.
        case none
        /// Parse and answer what has been received, then read on.
        case serve
        /// Flush, then close.
        case close
    }

    package private(set) var phase = Phase.serving
    private var writable = true
    private var inputEnded = false
    private var inputStopped = false

    package init() {}

    /// Whether the next command may be parsed.
    package var mayParse: Bool { self.phase == .serving && self.writable }

    /// Whether bytes may be read from the socket. Not while a reply is outstanding or the client does not read, so what
    /// is held for one client stays bounded.
    package var mayRead: Bool { self.mayParse && !self.inputEnded && !self.inputStopped }

    package var isClosed: Bool { self.phase == .closed }

    /// A command's reply will come later.
    package mutating func startedWaiting() {
        guard self.phase == .serving else { return }
        self.phase = .waiting
    }

    /// That reply is in the output buffer.
    package mutating func replyArrived() -> Action {
        guard self.phase == .waiting else { return .none }
        self.phase = .serving
        return self.writable ? .serve : .none
    }

    /// The turn is over, with commands left.
    package mutating func turnEnded() {
        guard self.phase == .serving else { return }
        self.phase = .yielded
    }

    /// The next turn begins.
    package mutating func turnBegan() -> Action {
        guard self.phase == .yielded else { return .none }
        self.phase = .serving
        return self.writable ? .serve : .none
    }

    /// The output buffer is above its high mark (`false`) or below its low mark again (`true`).
    package mutating func writabilityChanged(to writable: Bool) -> Action {
        guard self.writable != writable else { return .none }
        self.writable = writable
        return writable && self.phase == .serving ? .serve : .none
    }

    /// The client sends nothing more. What it sent is still answered.
    package mutating func inputClosed() { self.inputEnded = true }

    /// The server reads nothing more from this client. What was received is still answered.
    package mutating func stopReading() { self.inputStopped = true }

    /// All complete commands have been answered. The rest of the input, if any, can no longer become a command when the
    /// input has ended.
    package mutating func ranDry() -> Action {
        guard self.phase == .serving, self.inputEnded || self.inputStopped else { return .none }
        self.phase = .finishing
        return .close
    }

    /// No further command: QUIT, a protocol error, a limit.
    package mutating func finish() {
        guard self.phase != .closed else { return }
        self.phase = .finishing
    }

    package mutating func closed() { self.phase = .closed }
}
