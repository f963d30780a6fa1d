package import AnnexCore

/// Holds an entry of the log for the state: the change, if it has one for this state, and its position, which are
/// stored together or not at all.
package struct LoggedChange: Sendable {
    /// Holds the number of the stream, 0 to 15.
    package let block: Int
    /// Holds the entry before it in the stream: the state is that far, or farther already.
    package let after: LogPosition
    package let position: LogPosition
    /// It is nil where only the position moves.
    package let change: StateChange?

    package init(block: Int, after: LogPosition, position: LogPosition, change: StateChange?) {
        self.block = block
        self.after = after
        self.position = position
        self.change = change
    }
}

/// Says what an entry did, once it is durable.
package enum LoggedOutcome: Sendable, Equatable {
    case applied(StateOutcome, LogMark)
    /// The position moved and nothing else.
    case moved(LogMark)
    /// It had been applied before: nothing changed.
    case skipped(LogMark)
    /// No state can store it, on whatever replica; the position moved.
    case impossible(AnnexError, LogMark)

    package var mark: LogMark {
        switch self {
        case .applied(_, let mark), .moved(let mark), .skipped(let mark), .impossible(_, let mark): mark
        }
    }
}
