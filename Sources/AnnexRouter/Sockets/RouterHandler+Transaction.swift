import AnnexCore
package import AnnexWire
import NIOCore

/// Changes of one EXEC: they go to their shard as one command, ATOMIC.
extension RouterHandler {
    package func batch(
        _ changes: [Request],
        connection: inout ConnectionState
    ) throws(ArgumentFailure) -> ChangeBatch {
        // A shard closes the link, and with it every client's requests, over bytes that are no command.
        let parsed = try changes.map { change throws(ArgumentFailure) in try ParsedChange(change) }
        let slot = changes[0].withArgument(1) { Slot.of($0) }
        for change in changes where change.withArgument(1, { Slot.of($0) }) != slot {
            throw ArgumentFailure(
                code: .crossSlot,
                "users '\(changes[0].printable(1))' and '\(change.printable(1))' are not in one slot: behind a router the changes "
                    + "of one EXEC are of one slot, as users '{42}a' and '{42}b' are"
            )
        }
        let client = self.client(of: &connection)
        let request = Request(AtomicArguments.words(of: changes))
        let route = Route(slot: slot, kind: Self.kind(ofChanges: parsed), keys: 1..<2)
        let state = connection
        return ChangeBatch(count: changes.count) { batch in
            self.carryOut(request, route, client, state, BatchReplies(batch, count: changes.count, state))
        }
    }

    /// Runs on the loop of the connection.
    private func carryOut(
        _ request: Request,
        _ route: Route,
        _ client: RouterClient,
        _ state: ConnectionState,
        _ replies: BatchReplies
    ) {
        var refusal = ReplyWriter(version: state.respVersion, buffer: ByteBuffer())
        let subject = ChangeSubject(.several, user: 0)
        if case .pending(_, let start) = self.forwardChange(route, subject, request, client, state, &refusal) {
            start(ReplyPromise(replies, number: 0))
        } else {
            replies.fulfilNow(0, refusal.buffer, isLast: true)
        }
    }
}

/// Takes the reply to ATOMIC apart into those of its changes. Only the loop of the connection touches it.
private final class BatchReplies: ReplySink, @unchecked Sendable {
    private let batch: ChangeBatch
    private let count: Int
    private let version: RESPVersion
    private let givesPositions: Bool
    private var bytes = ByteBuffer()
    private var isOver = false

    init(_ batch: ChangeBatch, count: Int, _ state: ConnectionState) {
        self.batch = batch
        self.count = count
        self.version = state.respVersion
        self.givesPositions = state.givesPositions
    }

    func fulfil(_ number: Int, _ write: @escaping ReplyPromise.Writing) {
        guard !self.isOver else { return }
        self.isOver = true
        for index in 0..<self.count { self.batch.fulfil(index, write) }
    }

    func fulfilNow(_ number: Int, _ bytes: ByteBuffer, isLast: Bool) {
        self.bytes.writeImmutableBuffer(bytes)
        guard isLast, !self.isOver else { return }
        guard let replies = self.taken else {
            // An error is that of each change.
            let bytes = self.bytes
            return self.fulfil(0) { $0.encoded(bytes) }
        }
        self.isOver = true
        for (index, reply) in replies.enumerated() { self.batch.fulfil(index) { $0.encoded(reply) } }
    }

    /// It is nil where the reply is none of the changes.
    private var taken: [ByteBuffer]? {
        guard let whole = ReplyArray.elements(of: self.bytes) else { return nil }
        guard self.givesPositions else { return whole.count == self.count ? whole : nil }
        guard whole.count == 2, let parts = ReplyArray.elements(of: whole[0]), parts.count == self.count else {
            return nil
        }
        return parts.map { part in
            var pair = ByteBuffer(string: "*2\r\n")
            pair.writeImmutableBuffer(part)
            pair.writeImmutableBuffer(whole[1])
            return pair
        }
    }

    /// Changes are small: nothing of them is worth a thread.
    func elsewhere(_ number: Int, _ work: @escaping ReplyPromise.Work) { work()() }

    /// The replies are small, and the batch's own counting has the request.
    func hold(_ number: Int, _ change: Int) -> Int? { nil }

    func cut() {
        self.fulfil(0) { reply in
            reply.error(code: .timeout, "the reply broke off; the changes may or may not have been stored")
        }
    }
}
