import NIOCore

/// The times of what happened on a connection last, for its deadlines.
struct ConnectionClock {
    let connectedAt = NIODeadline.now()
    /// The time since which the client could have authenticated; later than it connected only after RESET.
    var unauthenticatedSince = NIODeadline.now()
    /// A byte came, or a reply went out.
    var lastActive = NIODeadline.now()
    /// The time when the first byte of the command that is not complete yet came.
    var unfinishedSince: NIODeadline?
    /// The client last took bytes of its replies, or began not to.
    var outputMoved = NIODeadline.now()
    /// Steps of a drain in which nothing came.
    var quietDrainSteps = 0

    mutating func received() {
        self.lastActive = .now()
        self.quietDrainSteps = 0
    }
}
