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

extension StateStore {
    /// Has what is not nil written before all that is handed in afterwards. Does not block.
    ///
    /// - Parameter completion: runs once, as `submit`'s does.
    package func keep(_ log: StateLog, _ completion: @escaping @Sendable (AnnexError?) -> Void) {
        let work = StateQueue.Waiting(.keepLog(log) { completion($0.failure) })
        if let error = self.queue.put(CollectionOfOne(work)) { completion(error) }
    }
}

extension Result where Failure == AnnexError {
    fileprivate var failure: AnnexError? { if case .failure(let error) = self { error } else { nil } }
}
