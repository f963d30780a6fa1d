package import AnnexCore
package import AnnexWire

/// Everything the listener can be told. A value: read once at start; `CONFIG SET` changes only the few settings
/// that `ServerSettings` allows it. Bounds, names and meanings of all of them stand there too.
package struct ServerConfiguration: Sendable {
    /// The address to bind is an IP literal or `localhost`. Anything but loopback needs a password.
    package var host = "127.0.0.1"
    /// The server listens on this TCP port; 0 takes a free one.
    package var port = 7700
    /// Counts the event loops. Each connection lives on one of them.
    package var threads = 1
    /// So many threads answer commands that leave the loop.
    package var deferredThreads = 2
    /// At most so many commands may wait for those threads or run on them at once, over all connections. The next one
    /// is `OVERLOADED`.
    package var maximumDeferred = 1_024
    /// A command may wait so long for one of those threads; then it is answered `TIMEOUT`.
    package var workPatience: Duration = .seconds(30)
    /// Bounds the sizes of one command, before and after authentication.
    package var limits = WireLimits()
    /// At most so many connections are served at once. The next one gets an error and is closed.
    package var maximumConnections = 10_000
    /// At most so many commands of one connection are answered before others get their turn. A longer pipeline is
    /// answered too, in several turns.
    package var pipelineDepth = 512
    /// Bytes of one reply; a larger one becomes an error in its place.
    package var outputBufferBytes = 32 << 20
    /// Bytes of replies that may wait for one client before its next command is read: so much may a client write before it
    /// reads. A connection above this and one reply is closed.
    package var pipelineBufferBytes = 20 << 20
    /// A client may take none of the replies that wait for it for so long. Then its connection is closed, and the log
    /// says why.
    package var stalledTimeout: Duration = .seconds(60)
    /// After so long a silence the system asks whether the client's machine is still there. With zero it never asks.
    package var tcpKeepalive: Duration = .seconds(300)
    /// Bytes held for all clients together, in and out; above it the connection that holds most is closed.
    package var allClientsBytes = 256 << 20
    /// After so long a silence a connection is closed. With zero none is.
    package var idleTimeout: Duration = .zero
    /// At most so long may pass from connecting to a successful AUTH, where a password is set.
    package var authTimeout: Duration = .seconds(10)
    /// At most so long may pass from the first byte of a command to its last.
    package var unfinishedCommandTimeout: Duration = .seconds(30)
    /// The first failed AUTH of a connection is answered after so long. The wait doubles with each further failure, up
    /// to 16 ×.
    package var authFailureDelay: Duration = .milliseconds(250)
    /// A connection is closed after so many failed AUTHs.
    package var maximumAuthFailures = 10
    /// Deadlines are looked at once in this time, which is also the precision of all timeouts above.
    package var sweepInterval: Duration = .seconds(1)
    /// Holds the SHA-256 of the password. With nil none is needed.
    package var passwordHash: PasswordHash?
    /// A command that takes so many microseconds enters SLOWLOG. With a negative number none does.
    package var slowlogMicroseconds = 10_000
    /// SLOWLOG keeps so many entries.
    package var slowlogLength = 128
    /// The kernel keeps at most so many connections that it has accepted in its queue.
    package var backlog = 4_096
    /// INFO shows this as Annex's version.
    package var version = "0.1.0"
    /// Holds the version of Redis whose commands, vector sets among them, are served: HELLO and INFO show it, as
    /// clients decide by it what they may send.
    package static let redisVersion = "8.2.0"

    package init() {}

    /// Tells whether `host` can only be reached from this machine.
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
