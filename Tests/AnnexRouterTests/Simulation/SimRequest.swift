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
    let client: UInt64
    /// How long a replica works on it, where that is more than others take: then on a thread of its own.
    let work: UInt64
    let slot: Int
    let began: UInt64
    let deadline: UInt64
    /// Nil for a read.
    let change: SimChange?
    var id: RequestID?
    var sendings: [Sending] = []
    var end: End?
    var ended: UInt64 = 0

    init(number: Int, kind: RequestKind, client: UInt64, work: UInt64, slot: Int, began: UInt64, deadline: UInt64) {
        self.number = number
        self.kind = kind
        self.client = client
        self.work = work
        self.slot = slot
        self.began = began
        self.deadline = deadline
        self.change =
            kind.isRead ? nil : SimChange(id: number, slot: slot, isIdempotent: kind == .idempotentEvent)
    }

    var isAcknowledged: Bool { !self.kind.isRead && self.end == .reply(.answered) }

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
