import AnnexClient
import AnnexCore
import AnnexWire
import NIOCore

/// Asks a replica from the command line.
struct ClusterNode: Sendable {
    typealias Address = ClusterTopology.Address

    let address: Address
    private let client: RESPClient

    /// Connects, logs in where there is a password, and asks for a sign of life; gives up after 2 seconds. Lends the replica.
    ///
    /// - Throws: `.system`, at the address, where nothing answers or the password is refused; and what `body` throws.
    static func with<R>(
        _ address: Address,
        password: String?,
        _ body: (ClusterNode) async throws -> R
    ) async throws -> R {
        var settings = RESPSettings(host: address.host, port: address.port, password: password)
        settings.greeting.append([Array("PING".utf8)])
        settings.connectTimeout = .seconds(2)
        // INFO of a server with many indexes may need so much.
        (settings.limits.bulkBytes, settings.limits.replyBytes) = (2 << 20, 2 << 20)
        return try await RESPClient.with(settings) { try await body(ClusterNode(address: address, client: $0)) }
    }

    /// Returns a command's reply.
    ///
    /// - Throws: `.system` for an error reply, and where none came within `seconds`; the connection is of no more use then.
    func ask(_ words: String..., seconds: Double = 5) async throws -> ReplyValue {
        let reply = try await self.client.send(words.map { Array($0.utf8) }, within: .seconds(seconds))
        if case .error(let text) = reply {
            throw AnnexError(.system, Printable.escape(text, limit: 1_024), at: self.address.description)
        }
        return reply
    }

    /// Fields of INFO by name, of all sections but those that must be named. They are fit for a terminal: control bytes are escaped.
    func info(_ sections: String...) async throws -> [String: String] {
        var fields: [String: String] = [:]
        for section in sections.isEmpty ? ["default"] : sections {
            let text = try await self.ask("INFO", section).text ?? ""
            for line in text.split(whereSeparator: \.isNewline) {
                guard let colon = line.firstIndex(of: ":") else { continue }
                let (name, value) = (String(line[..<colon]), String(line[line.index(after: colon)...]))
                fields[Printable.escape(name)] = Printable.escape(value, limit: 4_096)
            }
        }
        return fields
    }

    /// Returns the version of each index, as served.
    func versions() async throws -> [String: String] {
        var versions: [String: String] = [:]
        for (name, value) in try await self.info("indexes") where name.hasPrefix("index_") {
            versions[String(name.dropFirst(6))] = Self.field("version", of: value)
        }
        return versions
    }

    /// Returns a value of `name=value,…`.
    static func field(_ name: String, of line: String) -> String? {
        line.split(separator: ",").first { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
    }
}
