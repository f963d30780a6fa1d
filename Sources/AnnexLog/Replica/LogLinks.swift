import AnnexClient
import AnnexWire
import NIOCore

/// Holds the two connections of a replica to its log. It is used on the loop.
///
/// A completion runs for a reply only: where a connection ends, `LogFollower` lets go of both and begins anew.
struct LogLinks: Sendable {
    private let appending: RESPConnection
    private let reading: RESPConnection
    /// A reply that takes longer means that the log is gone.
    private let patience: TimeAmount
    /// A read may take this long, because it waits in the log first.
    private let readPatience: TimeAmount

    init(_ append: RESPConnection, _ read: RESPConnection, _ settings: LogSettings) {
        (self.appending, self.reading) = (append, read)
        self.patience = settings.answerTimeout
        self.readPatience = settings.answerTimeout + .milliseconds(settings.readMilliseconds)
    }

    /// Queues a command for the connection that appends; `flush` sends what is queued.
    func append(_ words: [[UInt8]], _ completion: @escaping (ReplyValue) -> Void) {
        self.appending.send(words, within: self.patience) { result in
            guard case .success(let reply) = result else { return }
            completion(reply)
        }
    }

    func flush() { self.appending.flush() }

    /// Sends a command that may wait in the log.
    func read(_ words: [[UInt8]], _ completion: @escaping (ReplyValue) -> Void) {
        self.reading.send(words, within: self.readPatience) { result in
            guard case .success(let reply) = result else { return }
            completion(reply)
        }
        self.reading.flush()
    }

    func close(_ reason: String) {
        self.appending.close(reason)
        self.reading.close(reason)
    }
}
