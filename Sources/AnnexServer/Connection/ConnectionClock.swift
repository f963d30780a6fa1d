import NIOCore

/// Keeps the times of what happened on a connection last, for its deadlines.
struct ConnectionClock {
    let connectedAt = NIODeadline.now()
    /// Holds the time since which the client could have authenticated. Only after RESET it is later than it connected.
    var unauthenticatedSince = NIODeadline.now()
    /// A byte came, or a reply went out.
    var lastActive = NIODeadline.now()
    /// Holds the time when the first byte of the command that is not complete yet came.
    var unfinishedSince: NIODeadline?
    /// The client last took bytes of its replies, or began not to.
    var outputMoved = NIODeadline.now()
    /// Counts steps of a drain in which nothing came.
    var quietDrainSteps = 0

    mutating func received() {
        self.lastActive = .now()
        self.quietDrainSteps = 0
    }
}
