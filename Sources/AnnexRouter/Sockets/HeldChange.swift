import AnnexWire

/// A change that waits for one before it.
struct HeldChange: Sendable {
    let route: Route
    let request: Request
    let connection: ConnectionState
    let reply: ReplyPromise
    /// Nanoseconds of the router's clock.
    let deadline: UInt64
}
