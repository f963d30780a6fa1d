import AnnexWire

/// Replies of the present turn, and what `CLIENT REPLY` asked for.
struct OutboundReplies {
    /// Says which mode `CLIENT REPLY` asked for.
    enum Mode { case on, off, skipNext, skipThis }

    var writer: ReplyWriter
    var mode = Mode.on
    /// Counted so that the socket's queue is measured now and then.
    private(set) var sends = 0
    /// Counts bytes handed to the socket since the connection began, and how many of them the client is known to have
    /// taken.
    private var sentBytes = 0
    private var takenBytes = 0

    init(_ writer: ReplyWriter) { self.writer = writer }

    mutating func sent(_ bytes: Int) {
        self.sends &+= 1
        self.sentBytes &+= bytes
    }

    /// The socket's queue holds so many bytes. True where the client took some since it was measured last.
    mutating func measured(waiting bytes: Int) -> Bool {
        let taken = self.sentBytes - bytes
        defer { self.takenBytes = max(self.takenBytes, taken) }
        return taken > self.takenBytes
    }

    /// Drops the reply that begins at `start` where the client asked for none.
    mutating func applyMode(from start: Int) {
        switch self.mode {
        case .on: return
        case .off: break
        case .skipNext: self.mode = .skipThis
        case .skipThis: self.mode = .on
        }
        self.writer.rewind(to: start)
    }
}
