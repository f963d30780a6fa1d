import AnnexWire

/// Replies of the present turn, and what `CLIENT REPLY` asked for.
struct OutboundReplies {
    /// What `CLIENT REPLY` asked for.
    enum Mode { case on, off, skipNext, skipThis }

    var writer: ReplyWriter
    var mode = Mode.on
    /// Counted so that the socket's queue is measured now and then.
    var flushes = 0

    init(_ writer: ReplyWriter) { self.writer = writer }

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
