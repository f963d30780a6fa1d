/// How large a request may be. Checked before anything is allocated or added up.
package struct WireLimits: Sendable, Equatable {
    /// One argument, bytes.
    package var argumentBytes = 1 << 20
    /// All of one command, framing included, bytes.
    package var commandBytes = 16 << 20
    /// One inline line, bytes.
    package var lineBytes = 64 << 10
    /// Arguments of one command, its name included.
    package var arguments = 65_536

    /// Before `AUTH`: arguments of one command.
    package var unauthenticatedArguments = 10
    /// Before `AUTH`: one argument, bytes.
    package var unauthenticatedArgumentBytes = 16 << 10
    /// Before `AUTH`: bytes received and not yet understood.
    package var unauthenticatedBufferBytes = 64 << 10

    package init() {}
}
