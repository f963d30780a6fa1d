/// Tells a person what was wrong, where, and what to do next.
///
/// `code` is a closed set, fit for metric labels and tests; `message` is free text. Control bytes from outside are
/// escaped by `Printable` before they come here.
package struct AnnexError: Error, Equatable, CustomStringConvertible {
    package enum Code: String, Sendable {
        /// An argument or option is wrong; the caller can mend it.
        case usage
        /// Input data (a factor file, a recipe) is wrong.
        case badInput
        /// A file of a version is damaged, missing or of an unknown format.
        case damaged
        /// The name that was given belongs to nothing.
        case notFound
        /// A limit was passed.
        case limit
        /// The operating system, FAISS or LMDB refused.
        case system
        /// The measured recall does not reach the target.
        case recall
        /// Another process holds the lock.
        case busy
        /// This server cannot now, and did nothing; another that has the same may.
        case unavailable
        /// Too much waits already; the same may work in a moment.
        case overloaded
        /// No answer came in time: what was asked for may or may not have happened, and `message` says what is known.
        case timeout
    }

    package let code: Code
    package let message: String
    /// Names a file, as `file`, `file:row` or `file:row:column`.
    package let location: String?
    /// Says what to do next, as a sentence.
    package let hint: String?

    package init(_ code: Code, _ message: String, at location: String? = nil, hint: String? = nil) {
        self.code = code
        self.message = message
        self.location = location
        self.hint = hint
    }

    package var description: String {
        var text = ""
        if let location { text += location + ": " }
        text += self.message
        if let hint { text += ". " + hint }
        return text
    }
}

extension AnnexError {
    /// Says that a change did not begin by the deadline that came with it.
    package static func expired(_ milliseconds: Int64) -> AnnexError {
        AnnexError(
            .timeout,
            "nothing was stored, the deadline given for the change had passed \(milliseconds) ms before it could begin",
            hint: "Send it again with a later DEADLINE"
        )
    }
}
