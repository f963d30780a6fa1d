package import AnnexCore

/// Holds the address of the log: `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?prefix=PREFIX]`.
package struct LogAddress: Sendable, Equatable, CustomStringConvertible {
    package let host: String
    package let port: Int
    /// It is nil for Redis's default user.
    package let user: String?
    package private(set) var password: String?
    package let database: Int
    /// Holds the beginning of the log's keys, so that clusters can share a database.
    package let prefix: String

    package static let standardPrefix = "annex"

    /// - Throws: `.usage`, which never shows the password.
    package init(parsing text: String) throws(AnnexError) {
        func bad(_ what: String) -> AnnexError {
            AnnexError(
                .usage,
                "is no address of a log: \(what)",
                hint: "Give redis://[:PASSWORD@]HOST:PORT[/DATABASE][?prefix=NAME]"
            )
        }
        let scheme = "redis://"
        if text.hasPrefix("rediss://") || text.hasPrefix("valkeys://") {
            throw bad("TLS to the log is not supported; use a tunnel or a private network")
        }
        guard text.hasPrefix(scheme) else { throw bad("the address does not begin with \(scheme)") }
        var rest = text.dropFirst(scheme.count)
        var user: String?
        var password: String?
        if let at = rest.lastIndex(of: "@") {
            let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, let name = Self.decoded(parts[0]), let secret = Self.decoded(parts[1]),
                !secret.isEmpty
            else { throw bad("what stands before the @ is not [USER]:PASSWORD") }
            user = name.isEmpty ? nil : name
            password = secret
            rest = rest[rest.index(after: at)...]
        }
        var prefix = Self.standardPrefix
        if let question = rest.lastIndex(of: "?") {
            let option = rest[rest.index(after: question)...]
            guard option.hasPrefix("prefix="), let given = Self.prefix(option.dropFirst("prefix=".count)) else {
                throw bad("what stands behind the ? is not prefix= and 1 to 64 letters, digits, '.', '_', ':' or '-'")
            }
            prefix = given
            rest = rest[..<question]
        }
        var database = 0
        if let slash = rest.firstIndex(of: "/") {
            let path = rest[rest.index(after: slash)...]
            guard path.utf8.allSatisfy({ (0x30...0x39).contains($0) }), path.utf8.count <= 5,
                let number = path.isEmpty ? 0 : Int(path)
            else { throw bad("what stands behind the / is no number of a database") }
            database = number
            rest = rest[..<slash]
        }
        let hasPort = rest.last != "]" && rest.contains(":")
        let address = ClusterTopology.Address(parsing: hasPort ? String(rest) : rest + ":6379")
        guard let address else { throw bad("'\(Printable.escape(String(rest)))' is no HOST:PORT") }
        self.host = address.host
        self.port = address.port
        self.user = user
        self.password = password
        self.database = database
        self.prefix = prefix
    }

    private static func prefix(_ text: Substring) -> String? {
        let isFine = text.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"),
                UInt8(ascii: "-"):
                true
            default: false
            }
        }
        return isFine && (1...64).contains(text.utf8.count) ? String(text) : nil
    }

    /// Returns the same with a password that did not stand in the address.
    ///
    /// - Throws: `.usage` where one did.
    package func with(password: String) throws(AnnexError) -> LogAddress {
        guard self.password == nil else {
            throw AnnexError(
                .usage,
                "has a password, and there is a password file as well",
                hint: "Take it out of the address"
            )
        }
        var copy = self
        copy.password = password
        return copy
    }

    /// Commands to begin a connection with.
    package var greetings: [[[UInt8]]] {
        var commands: [[String]] = []
        if let password { commands.append(["AUTH"] + (self.user.map { [$0] } ?? []) + [password]) }
        if self.database != 0 { commands.append(["SELECT", "\(self.database)"]) }
        commands.append(["PING"])
        return commands.map { $0.map { Array($0.utf8) } }
    }

    /// Decodes `%40` and its like.
    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var left = text.utf8[...]
        while let byte = left.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = left.prefix(2)
            guard digits.count == 2, digits.allSatisfy({ $0 < 0x80 && Character(Unicode.Scalar($0)).isHexDigit }),
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            else { return nil }
            bytes.append(value)
            left = left.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    /// Writes the address without the password.
    package var description: String {
        "redis://" + ClusterTopology.Address(host: self.host, port: self.port).description
            + (self.database == 0 ? "" : "/\(self.database)")
            + (self.prefix == Self.standardPrefix ? "" : "?prefix=\(self.prefix)")
    }
}
