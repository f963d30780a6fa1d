package import AnnexCore

extension StateStore {
    /// Hands entries of the log to the writer, in order; they share commits with all that waits. Does not block.
    ///
    /// An entry at or below the stored position of its block is skipped; one that does not follow right behind it fails,
    /// as does each behind one that failed. None is ever answered before it is durable, whatever `interval` is.
    ///
    /// - Parameter completion: runs once for each, as `submit`'s does. It must not block.
    package func submit(
        _ entries: [LoggedChange],
        _ completion: @escaping @Sendable (_ index: Int, Result<LoggedOutcome, AnnexError>) -> Void
    ) {
        let waiting = entries.enumerated().map { index, entry in
            StateQueue.Waiting(.logged(entry) { completion(index, $0) })
        }
        guard let error = self.queue.put(waiting) else { return }
        for index in entries.indices { completion(index, .failure(error)) }
    }
}
