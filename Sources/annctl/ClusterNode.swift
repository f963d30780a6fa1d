import AnnexClient
import AnnexCore
import AnnexWire

/// A replica, asked from the command line.
struct ClusterNode: Sendable {
    typealias Address = ClusterTopology.Address

    let address: Address
    private let client: LineClient

    /// Connects and, where there is a password, logs in; gives up after `seconds`.
    ///
    /// - Throws: `.system`, at the address, where nothing answers or the password is refused.
    static func connect(_ address: Address, password: String?, seconds: Double = 2) async throws -> ClusterNode {
        let client = try await LineClient.connect(
            host: address.host,
            port: address.port,
            timeoutSeconds: max(1, Int64(seconds))
        )
        let node = ClusterNode(address: address, client: client)
        do {
            if let password { _ = try await node.ask("AUTH", password, seconds: seconds) }
            _ = try await node.ask("PING", seconds: seconds)
        } catch {
            await node.close()
            throw error
        }
        return node
    }

    /// A command's reply.
    ///
    /// - Throws: `.system` for an error reply, and where none came within `seconds`.
    func ask(_ words: String..., seconds: Double = 5) async throws -> ReplyValue {
        let client = self.client
        let reply = try await withThrowingTaskGroup(of: ReplyValue?.self) { group in
            group.addTask { try await client.send(words.map { Array($0.utf8) }) }
            group.addTask {
                try await Task.sleep(for: .seconds(seconds))
                return nil
            }
            let first = try await group.next() ?? nil
            // Nothing but closing ends a send that is not answered.
            if first == nil { await client.close() }
            group.cancelAll()
            return first
        }
        guard let reply else {
            throw AnnexError(
                .system,
                "\(words[0]) was not answered within \(seconds) s",
                at: self.address.description,
                hint: "Look at its log, and whether the process is stopped"
            )
        }
        if case .error(let text) = reply {
            throw AnnexError(.system, Printable.escape(text, limit: 1_024), at: self.address.description)
        }
        return reply
    }

    /// Fields of INFO by name, of all sections but those that must be named.
    func info(_ sections: String...) async throws -> [String: String] {
        var fields: [String: String] = [:]
        for section in sections.isEmpty ? ["default"] : sections {
            let text = try await self.ask("INFO", section).text ?? ""
            for line in text.split(whereSeparator: \.isNewline) {
                guard let colon = line.firstIndex(of: ":") else { continue }
                fields[String(line[..<colon])] = String(line[line.index(after: colon)...])
            }
        }
        return fields
    }

    /// Index -> version, as served.
    func versions() async throws -> [String: String] {
        var versions: [String: String] = [:]
        for (name, value) in try await self.info("indexes") where name.hasPrefix("index_") {
            versions[String(name.dropFirst(6))] = Self.field("version", of: value)
        }
        return versions
    }

    func close() async { await self.client.close() }

    /// A value of `name=value,…`.
    static func field(_ name: String, of line: String) -> String? {
        line.split(separator: ",").first { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
    }
}
