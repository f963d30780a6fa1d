package import AnnexCore

/// An entry of the log for the state: the change, if it has one for this state, and its place, which are stored
/// together or not at all.
package struct LoggedChange: Sendable {
    /// The stream, 0 to 15.
    package let block: Int
    /// The entry before it in the stream: the state is that far, or farther already.
    package let after: LogPosition
    package let position: LogPosition
    /// Nil where only the position moves.
    package let change: StateChange?

    package init(block: Int, after: LogPosition, position: LogPosition, change: StateChange?) {
        self.block = block
        self.after = after
        self.position = position
        self.change = change
    }
}

/// What became of an entry, once that is durable.
package enum LoggedOutcome: Sendable, Equatable {
    case applied(StateOutcome, LogMark)
    /// Only the position moved.
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

extension StateStore {
    /// Hands entries of the log to the writer, in order; they share commits with all that waits. Does not block.
    ///
    /// An entry at or below the stored position of its block is skipped; one that does not follow right behind it fails,
    /// as does each behind one that failed. None is ever answered before it is durable, whatever `interval` is.
    ///
    /// - Parameter completion: runs once for each, as `submit`'s does. It must not block.
    package func submit(
        _ entries: [LoggedChange],
        _ completion: @escaping @Sendable (_ place: Int, Result<LoggedOutcome, AnnexError>) -> Void
    ) {
        let waiting = entries.enumerated().map { place, entry in
            StateQueue.Waiting(.logged(entry) { completion(place, $0) })
        }
        guard let error = self.queue.put(waiting) else { return }
        for place in entries.indices { completion(place, .failure(error)) }
    }
}
