package import AnnexCore

/// Holds an event on its way to the server.
package struct IngestEvent: Sendable, Equatable {
    package var user: Identifier
    package var item: Identifier
    /// It is finite.
    package var weight: Float
    /// Counts milliseconds since 1970. It is nil where the file does not say; `IngestClock` does then.
    package var time: Int64?

    package init(user: Identifier, item: Identifier, weight: Float, time: Int64?) {
        (self.user, self.item, self.weight, self.time) = (user, item, weight, time)
    }
}

/// A line of what is sent.
package struct IngestLine: Sendable {
    package enum Content: Sendable {
        case event(IngestEvent)
        /// It cannot be sent, and why.
        case problem(String)
        /// There is nothing to send, as in a blank line.
        case nothing
    }

    /// Holds the line as it stands in the file, without its end.
    package var text: [UInt8]
    package var content: Content

    package init(text: [UInt8], content: Content) {
        (self.text, self.content) = (text, content)
    }
}

/// Gives lines in the same order and with the same content each time. One thread uses it.
package protocol IngestSource: AnyObject {
    /// Returns the next line; nil at the end. A failure is one of the whole file.
    func next() throws(AnnexError) -> IngestLine?
    /// Returns how much of it was read, as a share.
    func fractionRead() throws(AnnexError) -> Double
}

/// Says which step follows an error reply to an event.
package enum IngestAnswer: Equatable, Sendable {
    /// This event can never be stored.
    case reject
    /// None can, until somebody changes something.
    case never
    /// It may work in a moment.
    case notNow

    /// - Parameter text: from its code on.
    package init(error text: [UInt8]) {
        let words = String(decoding: text, as: UTF8.self)
        switch ErrorCode(of: words) {
        case .noItem: self = .reject
        case .noAuth, .wrongPassword, .noIndex: self = .never
        // A weight or a time beyond what the server takes.
        case .error where words.hasPrefix("ERR invalid "): self = .reject
        case .error where words.hasPrefix("ERR unknown command") || words.contains("--state"): self = .never
        // A server with rights says that this client may never write.
        case nil where words.hasPrefix("NOPERM "): self = .never
        default: self = .notNow
        }
    }
}
