import AnnexClient
import AnnexCore
import AnnexFormats
import AnnexTools
import AnnexWire
import ArgumentParser
import NIOCore

/// What the requests of a load are about.
struct LoadSubjectOptions: ParsableArguments {
    @Option(help: "Name of the index. (default: the only one served)") var index: String?
    @Option(help: ArgumentHelp("Users for TOPK and EVENT, one a line, the most asked first.", valueName: "file"))
    var userIds: String?
    @Option(
        help: ArgumentHelp(
            "Items for VSIM and EVENT, one a line, the most asked first. (default: up to 10000 that the server draws)",
            valueName: "file"
        )
    )
    var itemIds: String?
    @Option(name: [.customShort("k"), .customLong("k")], help: "Answers per query.") var k = 10
    @Option(help: "Exponent of Zipf's law by which users and items are drawn; 0: all alike.") var zipf = 1.0

    func validate() throws {
        guard (1...Limits.maximumK).contains(self.k) else { throw ValidationError("--k is 1 to \(Limits.maximumK)") }
        guard (0...10).contains(self.zipf) else { throw ValidationError("--zipf is 0 to 10") }
        guard self.index.map({ EntryName($0) != nil }) ?? true else {
            throw ValidationError("--index is no index name: [A-Za-z0-9][A-Za-z0-9._-]{0,63}")
        }
    }

    /// Reads the files; asks the server for what `mixes` need beyond them.
    func read(for mixes: [LoadMix], at settings: LoadSettings) async throws -> LoadRequests.Subjects {
        var subjects = LoadRequests.Subjects()
        subjects.k = self.k
        subjects.zipf = self.zipf
        subjects.index = self.index.map { Array($0.utf8) }
        let hasEvents = mixes.contains { $0.has(.event) }
        let hasSimilar = mixes.contains { $0.has(.vsim) }
        if hasEvents || mixes.contains(where: { $0.has(.topk) }) {
            guard let userIds else {
                let name = hasEvents ? "EVENT" : "TOPK"
                throw AnnexError(
                    .usage,
                    "\(name) needs users",
                    hint: "Give --user-ids FILE, as it was given to the build"
                )
            }
            subjects.users = try Self.ids(userIds)
        }
        if hasSimilar || hasEvents {
            if let itemIds { subjects.items = try Self.ids(itemIds) }
            if subjects.items.isEmpty || (hasSimilar && subjects.index == nil) {
                try await self.ask(settings, &subjects)
            }
        }
        return subjects
    }

    private static func ids(_ file: String) throws(AnnexError) -> [[UInt8]] {
        let ids = try IdentifierFile.read(file, skipBadRows: false).compactMap { $0?.bytes }
        guard !ids.isEmpty else { throw AnnexError(.badInput, "there is no id in it", at: file) }
        return ids
    }

    // MARK: What the server tells

    private func ask(_ settings: LoadSettings, _ subjects: inout LoadRequests.Subjects) async throws {
        let patience = settings.timeout + .seconds(1)
        var connection = RESPSettings(host: settings.host, port: settings.port, password: settings.password)
        connection.connectTimeout = TimeAmount(patience)
        connection.limits = .anything
        let (known, address) = (subjects, connection.address)
        subjects = try await RESPClient.with(connection) { try await Self.ask($0, address, patience, known) }
    }

    private static func ask(
        _ client: RESPClient,
        _ address: String,
        _ patience: Duration,
        _ known: LoadRequests.Subjects
    ) async throws -> LoadRequests.Subjects {
        func send(_ words: [[UInt8]]) async throws -> ReplyValue {
            let reply = try await client.send(words, within: patience)
            guard case .error(let text) = reply else { return reply }
            throw AnnexError(
                .system,
                "asked for \(Printable.escape(words[0])), the server answered '\(Printable.escape(text, limit: 1024))'",
                at: address,
                hint: "VSIM and EVENT need a server of indexes, and --index where it has several"
            )
        }
        var subjects = known
        let index: [UInt8]
        if let named = subjects.index {
            index = named
        } else {
            index = try ServedIndexes(try await send([Array("INDEXES".utf8)])).choose(nil, at: address)
            subjects.index = index
        }
        if subjects.items.isEmpty {
            let count = Array("\(Limits.maximumRandomCount)".utf8)
            let reply = try await send([Array("VRANDMEMBER".utf8), index, count])
            subjects.items = (reply.elements ?? []).compactMap { $0.text.map { Array($0.utf8) } }
        }
        return subjects
    }
}
