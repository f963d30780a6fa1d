import AnnexRouter

/// One request of a client, and all that happened to it.
final class SimRequest {
    enum End: Equatable {
        /// A reply of a shard.
        case reply(Outcome)
        case failed(Failure)
        case cancelled
    }

    struct Sending {
        let replica: Int
        let reason: Dispatch.Reason
        /// How it ended, once it has.
        var outcome: Outcome?
    }

    let number: Int
    let kind: RequestKind
    let slot: Int
    let began: UInt64
    let deadline: UInt64
    /// Nil for a read.
    let change: SimChange?
    var id: RequestID?
    var sendings: [Sending] = []
    var end: End?
    var ended: UInt64 = 0

    init(number: Int, kind: RequestKind, slot: Int, began: UInt64, deadline: UInt64) {
        self.number = number
        self.kind = kind
        self.slot = slot
        self.began = began
        self.deadline = deadline
        self.change =
            kind == .read ? nil : SimChange(id: number, slot: slot, isIdempotent: kind == .idempotentEvent)
    }

    var isAcknowledged: Bool { self.kind != .read && self.end == .reply(.answered) }

    /// The client was told that nothing was stored.
    var isRefused: Bool {
        switch self.end {
        case .reply(.unavailable), .reply(.overloaded), .failed(.shardDown), .failed(.overloaded), .failed(.unowned):
            true
        default: false
        }
    }

    var isAnswered: Bool { self.end == .reply(.answered) || self.end == .cancelled }
}
