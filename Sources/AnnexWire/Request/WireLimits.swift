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

    /// The same with every value in a range in which sums of them cannot overflow and offsets fit 32 bits: 1 to
    /// 512 MiB for bytes, 1 to 16,777,216 for arguments.
    package var clamped: WireLimits {
        func bytes(_ value: Int) -> Int { min(max(value, 1), 512 << 20) }
        func count(_ value: Int) -> Int { min(max(value, 1), 1 << 24) }
        var copy = self
        copy.argumentBytes = bytes(self.argumentBytes)
        copy.commandBytes = bytes(self.commandBytes)
        copy.lineBytes = bytes(self.lineBytes)
        copy.arguments = count(self.arguments)
        copy.unauthenticatedArguments = count(self.unauthenticatedArguments)
        copy.unauthenticatedArgumentBytes = bytes(self.unauthenticatedArgumentBytes)
        copy.unauthenticatedBufferBytes = bytes(self.unauthenticatedBufferBytes)
        return copy
    }
}
