import AnnexCore

/// Knows who waits until this replica has applied a position. It is a value, used on one thread.
struct LogWaiters {
    struct Waiter: Sendable {
        let block: Int
        let position: LogPosition
        /// Counts milliseconds of the replica's clock.
        let deadline: Int64
        let completion: @Sendable (AnnexError?) -> Void
    }

    private var waiting: [[Waiter]] = Array(repeating: [], count: Slot.blockCount)
    private var count = 0
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    /// Answers at once where the position is applied, or where too many wait.
    mutating func add(_ waiter: Waiter, _ applied: LogPosition) {
        if waiter.position <= applied { return waiter.completion(nil) }
        guard self.count < self.limit else {
            let text = "\(self.count) wait for positions already"
            return waiter.completion(AnnexError(.overloaded, text, hint: "Read from another replica"))
        }
        self.count += 1
        self.waiting[waiter.block].append(waiter)
    }

    /// Takes O(waiters) time.
    mutating func moved(_ applied: (Int) -> LogPosition) {
        guard self.count > 0 else { return }
        for block in self.waiting.indices where !self.waiting[block].isEmpty {
            let position = applied(block)
            self.remove(block) { $0.position <= position ? .some(nil) : nil }
        }
    }

    /// Takes O(waiters) time.
    mutating func expire(at now: Int64, _ reason: (_ block: Int, LogPosition) -> String) {
        guard self.count > 0 else { return }
        for block in self.waiting.indices where !self.waiting[block].isEmpty {
            self.remove(block) { waiter in
                guard waiter.deadline <= now else { return nil }
                return AnnexError(
                    .timeout,
                    "waited for \(waiter.position) in vain: \(reason(block, waiter.position))",
                    hint: "Read from another replica, or take an older answer"
                )
            }
        }
    }

    /// - Parameter answer: nil where it waits on.
    private mutating func remove(_ block: Int, _ answer: (Waiter) -> AnnexError??) {
        self.waiting[block].removeAll { waiter in
            guard let answer = answer(waiter) else { return false }
            self.count -= 1
            waiter.completion(answer)
            return true
        }
    }
}
