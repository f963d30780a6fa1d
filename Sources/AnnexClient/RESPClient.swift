import AnnexCore
package import AnnexWire
import NIOCore
import NIOPosix

/// A connection for the command line, while it is lent: any task may send, and waits for its reply.
package final class RESPClient: Sendable {
    private let connection: RESPConnection
    private let loop: any EventLoop

    /// Connects, greets, lends the connection, and closes it whatever happens.
    ///
    /// - Parameter unconnected: the error to throw for a failure to connect or to greet.
    /// - Throws: `AnnexError.system` where nothing listens, or the greeting is refused; and what `body` throws.
    package static func with<R>(
        _ settings: RESPSettings,
        unconnected: (RESPFailure) -> any Error = { $0.error },
        _ body: (RESPClient) async throws -> R
    ) async throws -> R {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let connection: RESPConnection
        do {
            connection = try await loop.flatSubmit {
                RESPConnection.connect(settings, on: loop, onClose: { _ in })
            }.get()
        } catch {
            throw unconnected(error as? RESPFailure ?? .broken(error, at: settings.address))
        }
        let outcome: Result<R, any Error>
        do { outcome = .success(try await body(RESPClient(connection, loop))) } catch { outcome = .failure(error) }
        // Every command that waits for a reply gets an error.
        try? await loop.submit { connection.close("it was closed here") }.get()
        return try outcome.get()
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
}
