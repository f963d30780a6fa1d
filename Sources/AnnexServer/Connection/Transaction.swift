import AnnexCore
import AnnexWire

/// Keeps the commands of a connection between MULTI and EXEC, and carries them out after it.
///
/// Once EXEC has been accepted the kept commands run like any others: each in its turn, on the loop or elsewhere. Only the
/// changes among them share one batch.
package struct Transaction {
    /// A kept command that the connection runs now.
    struct Current {
        let request: Request
        /// Says which of the batch it is. It is nil for what is no change.
        let change: Int?
    }

    private enum Phase {
        case none
        /// Commands between MULTI and EXEC are gathered. `isBroken`: a command was refused, so EXEC will be.
        case gathering(isBroken: Bool)
        case running(ChangeBatch?)
    }

    private var phase = Phase.none
    private var kept: [Current] = []
    private var changeCount = 0
    private var next = 0
    /// Storage of the kept requests.
    private(set) var heldBytes = 0
    private(set) var current: Current?

    package init() {}

    /// Kept commands; nil where there was no MULTI. As CLIENT LIST shows it.
    var count: Int? { self.isGathering ? self.kept.count : nil }

    var isGathering: Bool {
        guard case .gathering = self.phase else { return false }
        return true
    }

    var isBroken: Bool {
        guard case .gathering(let isBroken) = self.phase else { return false }
        return isBroken
    }

    /// Tells whether kept commands are still to be run.
    var hasMore: Bool {
        guard case .running = self.phase else { return false }
        return self.next < self.kept.count
    }

    /// The changes, in order.
    var changes: [Request] { self.kept.filter { $0.change != nil }.map(\.request) }

    var requests: [Request] { self.kept.map(\.request) }

    // MARK: Gathering

    mutating func begin() { self.phase = .gathering(isBroken: false) }

    /// A command was refused: what follows is checked and not kept.
    mutating func refused() {
        guard self.isGathering else { return }
        self = Transaction()
        self.phase = .gathering(isBroken: true)
    }

    /// Keeps a command.
    ///
    /// - Parameter byteLimit: for all of them.
    /// - Throws: where there are too many; then nothing is kept any more.
    mutating func keep(_ request: Request, isChange: Bool, byteLimit: Int) throws(ArgumentFailure) {
        guard !self.isBroken else { return }
        let advice = "send them in parts, or without MULTI"
        guard self.kept.count < Limits.maximumTransactionCommands else {
            throw ArgumentFailure("more than \(Limits.maximumTransactionCommands) commands behind MULTI: \(advice)")
        }
        guard !isChange || self.changeCount < Limits.maximumTransactionChanges else {
            throw ArgumentFailure("more than \(Limits.maximumTransactionChanges) changes behind MULTI: \(advice)")
        }
        let bytes = request.heldBytes + MemoryLayout<Current>.stride
        guard self.heldBytes + bytes <= byteLimit else {
            throw ArgumentFailure("more than \(byteLimit) bytes of commands behind MULTI: \(advice)")
        }
        self.heldBytes += bytes
        self.kept.append(Current(request: request.detached, change: isChange ? self.changeCount : nil))
        if isChange { self.changeCount += 1 }
    }

    // MARK: Running

    /// Makes the kept commands the connection's next.
    mutating func run(_ batch: ChangeBatch?) { self.phase = .running(batch) }

    /// Returns the kept command that is to run now; nil where none is left.
    mutating func takeNext() -> Request? {
        guard case .running = self.phase else { return nil }
        guard self.next < self.kept.count else {
            self = Transaction()
            return nil
        }
        let current = self.kept[self.next]
        self.current = current
        self.next += 1
        return current.request
    }

    /// Returns the disposition of the present command, where it is a change of the batch.
    func dispositionOfChange() -> Disposition? {
        guard case .running(let batch?) = self.phase, let change = self.current?.change else { return nil }
        return batch.disposition(of: change)
    }
}
