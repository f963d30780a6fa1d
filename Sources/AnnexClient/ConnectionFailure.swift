package import AnnexCore
import Glibc
import NIOCore
import NIOPosix

/// What a client says about a connection that did not come about, or broke.
package enum ConnectionFailure {
    package static func refused(_ error: any Error, at address: String) -> AnnexError {
        AnnexError(
            .system,
            "cannot connect: \(Self.reason(error))",
            at: address,
            hint: "Is `annctl serve` running there? See --host and --port"
        )
    }

    package static func broken(_ error: any Error, at address: String) -> AnnexError {
        AnnexError(
            .system,
            "the connection broke: \(Self.text(error))",
            at: address,
            hint: "Does the server still run?"
        )
    }

    /// Why no connection came about, in the system's words.
    package static func reason(_ error: any Error) -> String {
        (error as? NIOConnectionError)?.connectionErrors.first.map { Self.text($0.error) } ?? Self.text(error)
    }

    private static func text(_ error: any Error) -> String {
        (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
    }
}
