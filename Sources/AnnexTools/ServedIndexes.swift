import AnnexClient
package import AnnexCore
package import AnnexWire

/// The indexes that a server has, as it says itself.
package struct ServedIndexes: Sendable {
    package let names: [String]

    /// - Parameter reply: to INDEXES: of each index a map, or in RESP2 an array, of fields and values.
    package init(_ reply: ReplyValue) {
        self.names = (reply.elements ?? []).compactMap { index -> String? in
            let fields = index.elements ?? []
            return stride(from: 0, to: fields.count - 1, by: 2).first { fields[$0].text == "name" }
                .flatMap { fields[$0 + 1].text }
        }
    }

    /// The one of that name; where none is named, the only one.
    package func choose(_ name: String?, at address: String) throws(AnnexError) -> [UInt8] {
        if let name, self.names.contains(where: { $0.utf8.elementsEqual(name.utf8) }) { return Array(name.utf8) }
        guard name == nil, self.names.count == 1 else {
            let list = Printable.escape(self.names.joined(separator: ", "), limit: 1024)
            let start = name.map { "the server has no index '\(Printable.escape($0))', it has" } ?? "the server has"
            throw AnnexError(
                .usage,
                "\(start) \(self.names.count) index\(self.names.count == 1 ? "" : "es"): \(list)",
                at: address,
                hint: "Name one with --index"
            )
        }
        return Array(self.names[0].utf8)
    }

    /// Asks a server; as `choose`.
    package static func choose(_ name: String?, host: String, port: Int, password: String?) async throws -> [UInt8] {
        let settings = RESPSettings(host: host, port: port, password: password)
        return try await RESPClient.with(settings) { client in
            let reply = try await client.send("INDEXES", within: .seconds(10))
            if case .error(let text) = reply {
                let message = "the server answered '\(Printable.escape(text, limit: 1024))'"
                throw AnnexError(
                    .system,
                    message,
                    at: settings.address,
                    hint: "Is it `annctl serve`? See --password-file"
                )
            }
            return try ServedIndexes(reply).choose(name, at: settings.address)
        }
    }
}
