/// Says how large a request may be. The limits are checked before anything is allocated or added up.
package struct WireLimits: Sendable, Equatable {
    /// One argument has at most so many bytes.
    package var argumentBytes = 1 << 20
    /// One command has at most so many bytes, framing included.
    package var commandBytes = 16 << 20
    /// One inline line has at most so many bytes.
    package var lineBytes = 64 << 10
    /// One command has at most so many arguments, its name included.
    package var arguments = 65_536

    /// One command has at most so many arguments before `AUTH`.
    package var unauthenticatedArguments = 10
    /// One argument has at most so many bytes before `AUTH`.
    package var unauthenticatedArgumentBytes = 16 << 10
    /// At most so many bytes may have been received and not yet understood before `AUTH`.
    package var unauthenticatedBufferBytes = 64 << 10

    package init() {}

    /// Returns the same with every value in a range in which sums of them cannot overflow and offsets fit 32 bits: 1 to
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
