/// The kind of a request, which decides whether it may be sent a second time.
package enum RequestKind: UInt8, Sendable, CaseIterable {
    case read
    /// A read that may take so long that others must not wait behind it; see `ReadCost`. It has a connection of its own, a
    /// longer deadline, and few of them are under way at a replica. It is not hedged, and its lateness is nobody's fault.
    case heavyRead
    /// A change that is another one when it is sent again: an `EVENT` that the server stamps.
    case event
    /// A change that may be sent again: an `EVENT … AT time`.
    case idempotentEvent
}

extension RequestKind {
    package var isRead: Bool { self == .read || self == .heavyRead }
}
