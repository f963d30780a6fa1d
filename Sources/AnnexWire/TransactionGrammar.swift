import AnnexCore
import NIOCore

/// `ATOMIC user words word… [words word…]…`: several changes as one command.
package struct AtomicArguments: Sendable {
    /// Each as if it had come alone.
    package let changes: [Request]

    /// The arity must have been checked.
    ///
    /// - Throws: where the words are no changes, too many, or of users in another slot.
    package init(_ request: Request, table: CommandTable = .standard) throws(ArgumentFailure) {
        var changes: [Request] = []
        var at = 2
        while at < request.count {
            let words = try request.counted(at, "words", minimum: 1)
            guard changes.count < Limits.maximumTransactionChanges else {
                throw ArgumentFailure("more than \(Limits.maximumTransactionChanges) changes: send them in parts")
            }
            changes.append(Request(words, of: request))
            at = words.upperBound
        }
        let slot = request.withArgument(1) { Slot.of($0) }
        for change in changes {
            switch table.lookup(change) {
            case .unknown: throw ArgumentFailure(table.unknownCommand(change))
            case .wrongArity(let name, _): throw .wrongArity(name)
            case .command(let found, _):
                guard found.isChange else {
                    throw ArgumentFailure("'\(change.printable(0))' is no change: give EVENT, EVENT.DEL or FORGET")
                }
            }
            guard change.withArgument(1, { Slot.of($0) }) == slot else {
                throw ArgumentFailure(
                    code: .crossSlot,
                    "user '\(change.printable(1))' is not in the slot of '\(request.printable(1))': send each slot's changes "
                        + "apart"
                )
            }
        }
        self.changes = changes
    }

    /// The words of the command that carries these changes.
    package static func words(of changes: [Request]) -> [[UInt8]] {
        var words = [Array("ATOMIC".utf8)]
        words.append(changes[0].bytesOf(1))
        for change in changes {
            words.append(Array("\(change.count)".utf8))
            for index in 0..<change.count { words.append(change.bytesOf(index)) }
        }
        return words
    }
}

extension Request {
    /// Checks the words of a change as far as no index is needed for it. The arity must have been checked.
    package func checkAsChange() throws(ArgumentFailure) {
        if self.matches(0, "EVENT") {
            _ = try EventArguments(self)
        } else {
            _ = try NamedArguments(self, fixed: self.matches(0, "FORGET") ? 2 : 3)
        }
    }

    /// From here on bytes are shared rather than copied, as a copy takes a loop too long (some 0.1 ms a MiB). What is smaller may
    /// lie in a receive buffer several times its size, which would be kept and not counted.
    private static let sharedFrom = 256 << 10

    /// The same request, to be kept: a small one has storage of its own, so that the receive buffer is not kept for it.
    package var detached: Request {
        guard self.bytes.readableBytes < Self.sharedFrom else { return self }
        var copy = self
        copy.bytes = ByteBuffer(bytes: self.bytes.readableBytesView)
        return copy
    }
}

extension CommandSpecification {
    /// Whether it is one change of what is known of a user, as a batch may hold.
    package var isChange: Bool { self.commandClass == .event && self.id != .atomic }
}
