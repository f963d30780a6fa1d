package import AnnexCore
import Foundation
import NIOCore
import NIOPosix

/// Says why a connection did not come about, or ended.
package struct RESPFailure: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// The system made no connection.
        case unreachable
        /// The greeting was answered with an error.
        case refused
        /// There was no reply in time.
        case late
        /// The other side said what is no reply, or too long a one.
        case senseless
        /// A reply came that answers nothing. Which reply belongs to which request is not known any more.
        case unasked
        /// The other side or the network ended it.
        case lost
        /// This side ended it.
        case closed
    }

    package let kind: Kind
    /// The text is one line without bytes that a terminal would obey.
    package let text: String
    package let address: String
    /// Holds the advice that an error shows.
    package let hint: String?

    package var description: String { self.text }

    package var error: AnnexError { AnnexError(.system, self.text, at: self.address, hint: self.hint) }

    package init(_ kind: Kind, _ text: String, at address: String, hint: String? = nil) {
        (self.kind, self.text, self.address, self.hint) = (kind, text, address, hint)
    }

    // MARK: The reasons

    /// The most bytes of a reply that an error shows.
    package static let shownBytes = 200

    static func unreachable(_ error: any Error, at address: String) -> RESPFailure {
        let cause = (error as? NIOConnectionError)?.connectionErrors.first?.error ?? error
        let hint = "Is `annctl serve` running there? Look at the host and the port"
        return RESPFailure(.unreachable, "cannot connect: \(Self.text(cause))", at: address, hint: hint)
    }

    package static func broken(_ error: any Error, at address: String) -> RESPFailure {
        RESPFailure(.lost, "the connection broke: \(Self.text(error))", at: address, hint: "Does the server still run?")
    }

    package static func closed(at address: String) -> RESPFailure {
        let hint = "Does it still run? Does it allow so many connections?"
        return RESPFailure(.lost, "the server closed the connection", at: address, hint: hint)
    }

    package static func senseless(_ error: any Error, at address: String) -> RESPFailure {
        let hint = "Does a server listen there that speaks RESP? Look at the port"
        return RESPFailure(.senseless, "the server's reply makes no sense: \(error)", at: address, hint: hint)
    }

    static func tooLong(_ limit: Int, at address: String) -> RESPFailure {
        let text = "a reply is longer than \(limit) bytes"
        return RESPFailure(.senseless, text, at: address, hint: "Ask for less at a time")
    }

    package static func unasked(_ reply: String?, at address: String) -> RESPFailure {
        let said = reply.map { ": '\(Printable.escape($0, limit: Self.shownBytes))'" } ?? ""
        let text = "the server sent a reply that nobody asked for\(said)"
        let hint = "Connect again; where it happens again, look at the server's log"
        return RESPFailure(.unasked, text, at: address, hint: hint)
    }

    static func refused(_ name: [UInt8], _ reply: String, at address: String) -> RESPFailure {
        let text =
            "the server answered \(Printable.escape(name)) with '\(Printable.escape(reply, limit: Self.shownBytes))'"
        let hint = "If it wants a password, look at --password-file"
        return RESPFailure(.refused, text, at: address, hint: hint)
    }

    static func notGreeted(_ name: [UInt8], at address: String) -> RESPFailure {
        let text = "connected, but \(Printable.escape(name)) was not answered in time"
        return RESPFailure(
            .late,
            text,
            at: address,
            hint: "Does a server listen there that speaks RESP? Look at the port"
        )
    }

    static func late(_ name: [UInt8], _ time: TimeAmount, at address: String) -> RESPFailure {
        let text = "no reply to \(Printable.escape(name)) within \(Double(time.nanoseconds / 1_000_000) / 1_000) s"
        let hint = "Look at the server's log, and whether its process is stopped"
        return RESPFailure(.late, text, at: address, hint: hint)
    }

    private static func text(_ error: any Error) -> String {
        (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? Printable.escape("\(error)", limit: 200)
    }
}
