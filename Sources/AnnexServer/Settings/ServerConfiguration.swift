package import AnnexCore
package import AnnexWire

/// Everything the listener can be told. A value: read once at start; `CONFIG SET` changes only the few settings
/// that `ServerSettings` allows it. Bounds, names and meanings of all of them stand there too.
package struct ServerConfiguration: Sendable {
    /// Address to bind: an IP literal or `localhost`. Anything but loopback needs a password.
    package var host = "127.0.0.1"
    /// TCP port; 0 takes a free one.
    package var port = 7700
    /// Event loops. Each connection lives on one of them.
    package var threads = 1
    /// Threads for commands that answer off the loop.
    package var deferredThreads = 2
    /// Commands that may wait for or run on those threads at once, over all connections. The next one is `OVERLOADED`.
    package var maximumDeferred = 1_024
    /// How long a command may wait for one of those threads; then it is answered `TIMEOUT`.
    package var workPatience: Duration = .seconds(30)
    /// Sizes of one command, before and after authentication.
    package var limits = WireLimits()
    /// Connections served at once; the next one gets an error and is closed.
    package var maximumConnections = 10_000
    /// Commands of one connection that are answered before others get their turn. A longer pipeline is answered too,
    /// in several turns.
    package var pipelineDepth = 512
    /// Bytes of one reply; a larger one becomes an error in its place.
    package var outputBufferBytes = 32 << 20
    /// Bytes of replies that may wait for one client before its next command is read: so much may a client write before it
    /// reads. A connection above this and one reply is closed.
    package var pipelineBufferBytes = 20 << 20
    /// Time in which a client takes none of the replies that wait for it; then its connection is closed, and the log says why.
    package var stalledTimeout: Duration = .seconds(60)
    /// Silence after which the system asks whether the client's machine is still there; zero: never.
    package var tcpKeepalive: Duration = .seconds(300)
    /// Bytes held for all clients together, in and out; above it the connection that holds most is closed.
    package var allClientsBytes = 256 << 20
    /// Silence after which a connection is closed; zero = never.
    package var idleTimeout: Duration = .zero
    /// Time from connecting to a successful AUTH, where a password is set.
    package var authTimeout: Duration = .seconds(10)
    /// Time from the first byte of a command to its last.
    package var unfinishedCommandTimeout: Duration = .seconds(30)
    /// Wait before the first failed AUTH of a connection is answered; doubles with each further failure, up to 16 ×.
    package var authFailureDelay: Duration = .milliseconds(250)
    /// Failed AUTHs after which a connection is closed.
    package var maximumAuthFailures = 10
    /// How often deadlines are looked at; also the precision of all timeouts above.
    package var sweepInterval: Duration = .seconds(1)
    /// SHA-256 of the password; nil = none is needed.
    package var passwordHash: PasswordHash?
    /// Microseconds from which a command enters SLOWLOG; negative = never.
    package var slowlogMicroseconds = 10_000
    /// Entries SLOWLOG keeps.
    package var slowlogLength = 128
    /// Length of the queue of connections the kernel has accepted.
    package var backlog = 4_096
    /// Annex's version, which INFO shows.
    package var version = "0.1.0"
    /// The version of Redis whose commands, vector sets among them, are served: HELLO and INFO show it, as clients decide by it
    /// what they may send.
    package static let redisVersion = "8.2.0"

    package init() {}

    /// Whether `host` can only be reached from this machine.
    package var isLoopback: Bool {
        let host = self.host.lowercased()
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "127" else { return false }
        return parts.allSatisfy { UInt8($0) != nil && $0.first != "+" }
    }

    /// Refuses what cannot be served or must not be.
    ///
    /// - Parameters:
    ///   - password: the clients', of which only the hash is kept.
    ///   - origins: where the settings were given, for errors.
    /// - Throws: `.usage`.
    package func validate(_ password: String? = nil, _ origins: SettingOrigins = SettingOrigins()) throws(AnnexError) {
        guard self.isLoopback || self.passwordHash != nil else {
            throw origins.error(
                "host",
                "is '\(Printable.escape(self.host))', which can be reached from other machines, and no password is set",
                hint: "Set a password (--password-file FILE), or bind 127.0.0.1"
            )
        }
        for setting in ServerSettings.all { try setting.check(self) }
        let most = min(self.limits.argumentBytes, self.limits.unauthenticatedArgumentBytes)
        if let password, password.utf8.count > most {
            throw origins.error(
                "password-file",
                "has a password of \(password.utf8.count) bytes, and no client may send more than \(most)",
                hint: "Choose a shorter password"
            )
        }
    }
}
