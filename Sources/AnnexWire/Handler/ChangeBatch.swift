import Synchronization

/// Gathers changes that are stored together or not at all, each of which owes a reply in the turn of its own command.
///
/// The changes have been checked. `start` runs when the first of the commands has its turn. Any thread may use it.
package final class ChangeBatch: Sendable {
    /// Brings a command that has its turn and its outcome together, whichever comes first.
    private enum Meeting {
        case nobody
        case waiting(ReplyPromise)
        case known(ReplyPromise.Writing)
        case over
    }

    private struct State {
        var meetings: [Meeting]
        var start: (@Sendable (ChangeBatch) -> Void)?
    }

    private let state: Mutex<State>

    /// - Parameter start: has the changes stored, and calls `fulfil` once for each. Must not block.
    package init(count: Int, start: @escaping @Sendable (ChangeBatch) -> Void) {
        self.state = Mutex(State(meetings: Array(repeating: .nobody, count: count), start: start))
    }

    /// Returns the disposition of the command of change `index`, which has its turn. It is asked once for each.
    package func disposition(of index: Int) -> Disposition {
        .pending(bytes: 0) { promise in
            let (write, start) = self.state.withLock { state in
                defer { state.start = nil }
                guard case .known(let write) = state.meetings[index] else {
                    state.meetings[index] = .waiting(promise)
                    return (ReplyPromise.Writing?.none, state.start)
                }
                state.meetings[index] = .over
                return (write, state.start)
            }
            if let write { promise.fulfil(write) }
            start?(self)
        }
    }

    /// Gives the reply of change `index`.
    package func fulfil(_ index: Int, _ write: @escaping ReplyPromise.Writing) {
        let promise: ReplyPromise? = self.state.withLock { state in
            guard case .waiting(let promise) = state.meetings[index] else {
                state.meetings[index] = .known(write)
                return nil
            }
            state.meetings[index] = .over
            return promise
        }
        promise?.fulfil(write)
    }
}
