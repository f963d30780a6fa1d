import AnnexClient
package import AnnexCore
import NIOCore

/// Holds the settings with which a file of events is sent.
package struct IngestSettings: Sendable {
    package var host = "127.0.0.1"
    package var port = 7700
    /// Sent with AUTH on each connection; nil: none.
    package var password: String?
    /// The server flushes once for all who wait, so events a second grow with them.
    package var connections = 64
    /// A connection may wait for so many events at a time.
    package var pipeline = 16
    /// The progress (`IngestProgress`) is kept in this file.
    package var progressFile: String
    /// Holds the time for which an event is tried again that the server does not take, or does not answer.
    package var patience: Duration = .seconds(30)
    /// The run ends where there are more rejects, with those of earlier runs. Nil: it does not.
    package var maximumRejects: Int?

    package init(progressFile: String) { self.progressFile = progressFile }

    var address: String { "\(self.host):\(self.port)" }

    func connection(replyPatience: TimeAmount) -> RESPSettings {
        var connection = RESPSettings(host: self.host, port: self.port, password: self.password)
        connection.connectTimeout = .seconds(4)
        connection.greetingTimeout = replyPatience
        connection.progressExtendsDeadlines = true
        return connection
    }
}

/// Tells somebody who waits how far it came.
package enum IngestNews: Sendable {
    /// A share of the file is done; with events acknowledged and lines rejected by this run.
    case progress(fraction: Double, acknowledged: Int, rejected: Int)
    /// Something went wrong that is tried again, or works again.
    case note(String)
}

package struct IngestResult: Sendable {
    /// The count as the progress file has it.
    package var progress: IngestProgress
    /// Counts the events that this run sent, each once more where it was tried again.
    package var sent: Int
    package var acknowledged: Int
    package var rejected: Int
    package var seconds: Double
    /// Says why it ended before the file did.
    package var failure: AnnexError?
}
