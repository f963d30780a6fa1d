import AnnexWire
import NIOCore

/// Holds the commands with which the router begins a connection to a replica.
struct Greeting: Sendable {
    var password: String?
    var version = RESPVersion.two
    /// Tells whether replies to changes are to tell their position in the log.
    var asksForPositions = false

    /// Returns how many replies it gets.
    func write(to buffer: inout ByteBuffer) -> Int {
        var commands: [[String]] = []
        if let password { commands.append(["AUTH", "default", password]) }
        if self.version == .three { commands.append(["HELLO", "3"]) }
        commands.append(["CLIENT", "SETNAME", "annex-router"])
        if self.asksForPositions { commands.append(["CLIENT", "CAPA", "position"]) }
        for command in commands { RequestEncoder.append(command.map { Array($0.utf8) }, to: &buffer) }
        return commands.count
    }
}

/// Describes an attempt whose reply a link owes.
struct OwedAttempt {
    let attempt: AttemptID
    /// Tells whether it is part of a request that was split: its reply is needed as a whole.
    let isPart: Bool
    /// A second replica may know the item that the first does not.
    var isEvent = false
    /// The reply to the WAITPOS that was sent ahead of a read.
    var isWait = false
    /// The reply to the DEADLINE that was sent ahead of a change or a heavy read.
    var isDeadline = false
    /// It was made before the event had arrived that the read was to wait for.
    var isStale = false
}
