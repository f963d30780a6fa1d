import AnnexCore
package import AnnexWire
import NIOCore
import NIOPosix

/// Connects for the command line: any task may send, and waits for its reply.
package final class RESPClient: Sendable {
    private let connection: RESPConnection
    private let loop: any EventLoop

    /// Connects and greets.
    ///
    /// - Throws: `AnnexError.system` where nothing listens, or the greeting is refused.
    package static func connect(_ settings: RESPSettings) async throws -> RESPClient {
        do { return try await self.attempt(settings).get() } catch { throw error.error }
    }

    /// Connects and greets, and throws the failure itself, for callers that try again after some kinds.
    package static func attempt(_ settings: RESPSettings) async -> Result<RESPClient, RESPFailure> {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        do {
            let connection = try await loop.flatSubmit {
                RESPConnection.connect(settings, on: loop, onClose: { _ in })
            }.get()
            return .success(RESPClient(connection, loop))
        } catch {
            return .failure(error as? RESPFailure ?? .broken(error, at: settings.address))
        }
    }

    private init(_ connection: RESPConnection, _ loop: any EventLoop) {
        (self.connection, self.loop) = (connection, loop)
    }

    /// Sends one command and waits for its reply. An error reply is a value (`.error`).
    ///
    /// - Parameter patience: where there is no reply within it, the connection ends.
    /// - Throws: `AnnexError.system` where the connection ends.
    package func send(_ words: [[UInt8]], within patience: Duration? = nil) async throws -> ReplyValue {
        let promise = self.loop.makePromise(of: ReplyValue.self)
        self.loop.execute {
            self.connection.send(words, within: patience.map { TimeAmount($0) }) { result in
                promise.completeWith(result.mapError { $0.error })
            }
            self.connection.flush()
        }
        return try await promise.futureResult.get()
    }

    package func send(_ words: String..., within patience: Duration? = nil) async throws -> ReplyValue {
        try await self.send(words.map { Array($0.utf8) }, within: patience)
    }

    /// Ends the connection: every command that waits for a reply gets an error. More than one call does no harm.
    package func close() async { try? await self.loop.submit { self.connection.close("it was closed here") }.get() }
}
