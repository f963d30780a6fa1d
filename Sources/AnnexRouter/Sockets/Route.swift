/// The slot and the kind of a request: they decide where it goes.
struct Route {
    /// Nil: any shard can answer.
    let slot: Int?
    let kind: RequestKind
    /// Positions of the users.
    var keys = 0..<0
    /// Microseconds that count as the client's, while it is under way.
    var cost = 0
}
