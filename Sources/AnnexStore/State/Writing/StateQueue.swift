import AnnexCore
import Dispatch
import Synchronization

/// Changes on their way to the writer. Any number of threads put in, one takes out.
final class StateQueue: Sendable {
    typealias Completion = @Sendable (Result<StateOutcome, AnnexError>) -> Void

    enum Work: Sendable {
        /// The change must not begin after `until`, a Unix time in milliseconds.
        case change(StateChange, until: Int64?, Completion)
        case logged(LoggedChange, @Sendable (Result<LoggedOutcome, AnnexError>) -> Void)
        case keepLog(StateLog, @Sendable (Result<Void, AnnexError>) -> Void)
        /// Makes entries of the index of a user's events right.
        case repairIndex(Identifier, [[UInt8]], @Sendable (Result<Void, AnnexError>) -> Void)
    }

    struct Waiting: Sendable {
        let work: Work

        init(_ work: Work) { self.work = work }

        /// Tells whether it waits for space where there is little left.
        var isEvent: Bool {
            switch self.work {
            case .change(let change, _, _): change.isEvent
            case .logged(let entry, _): entry.change?.isEvent ?? false
            case .keepLog, .repairIndex: false
            }
        }

        /// The number of changes, as INFO counts them.
        var changeCount: Int {
            switch self.work {
            case .change(.together(let changes), _, _): changes.count
            case .logged(let entry, _): if case .together(let changes) = entry.change { changes.count } else { 1 }
            case .change, .keepLog, .repairIndex: 1
            }
        }
    }

    private struct State {
        var waiting: [Waiting] = []
        var isStopped = false
        /// The writer sleeps and wants a signal.
        var isAsleep = false
    }

    private let state = Mutex(State())
    private let wakeUp = DispatchSemaphore(value: 0)
    private let limit: Int
    private let path: String
    private let system: StateSystem

    init(limit: Int, path: String, system: StateSystem) {
        self.limit = limit
        self.path = path
        self.system = system
    }

    var count: Int { self.state.withLock { $0.waiting.count } }

    /// Returns nil where the change waits now, and its completion will run; otherwise why not. Does not block.
    func put(_ change: StateChange, until: Int64? = nil, _ completion: @escaping Completion) -> AnnexError? {
        self.put(CollectionOfOne(Waiting(.change(change, until: until, completion))))
    }

    /// Puts several in: all of them or none.
    func put(_ fresh: some Collection<Waiting>) -> AnnexError? {
        let (error, wakes): (AnnexError?, Bool) = self.state.withLock { state in
            if state.isStopped {
                return (AnnexError(.system, "the state is closed", at: self.path, hint: "Ask another server"), false)
            }
            guard state.waiting.count <= self.limit - fresh.count else {
                let text = "\(state.waiting.count) changes wait for the disk already"
                return (AnnexError(.overloaded, text, at: self.path, hint: "Try again in a moment"), false)
            }
            state.waiting.append(contentsOf: fresh)
            let wakes = state.isAsleep
            state.isAsleep = false
            return (nil, wakes)
        }
        if wakes { self.wakeUp.signal() }
        return error
    }

    /// Lets nothing more in. What waits is still taken out.
    func stop() {
        let wakes = self.state.withLock { state in
            state.isStopped = true
            defer { state.isAsleep = false }
            return state.isAsleep
        }
        if wakes { self.wakeUp.signal() }
    }

    /// Lets changes gather until then by the system's clock, or until the queue is stopped. Blocks.
    func pause(until deadline: Duration) {
        while !self.state.withLock({ $0.isStopped }) {
            let left = deadline - self.system.now()
            guard left > .zero else { return }
            self.system.sleep(min(left, .milliseconds(20)))
        }
    }

    /// Returns the oldest changes, at most `limit`, as soon as there are any. Blocks.
    ///
    /// - Returns: nothing where `patience` went by; nil where the queue is stopped and empty.
    func take(limit: Int, patience: Duration) -> [Waiting]? {
        let deadline = DispatchTime.now() + .milliseconds(Int(patience / .milliseconds(1)))
        while true {
            let (group, isOver): ([Waiting], Bool) = self.state.withLock { state in
                if state.waiting.isEmpty {
                    state.isAsleep = !state.isStopped
                    return ([], state.isStopped)
                }
                state.isAsleep = false
                if state.waiting.count <= limit {
                    defer { state.waiting = [] }
                    return (state.waiting, false)
                }
                let group = Array(state.waiting.prefix(limit))
                state.waiting.removeFirst(limit)
                return (group, false)
            }
            if isOver { return nil }
            if !group.isEmpty { return group }
            // A signal that came for an earlier sleep only makes this one shorter.
            if self.wakeUp.wait(timeout: deadline) == .timedOut {
                self.state.withLock { $0.isAsleep = false }
                return []
            }
        }
    }
}
