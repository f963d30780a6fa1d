import AnnexCore
import AnnexWire
import ArgumentParser

struct ClusterReloadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Swap a version everywhere: shard by shard, replica by replica.",
        discussion: """
            Each replica loads the version aside, swaps, and must then answer PING, name the version and find an item by itself, \
            before the next one's turn comes. Where one fails, those that have swapped go back to what they served before, \
            newest first, and nothing else is touched.

            Replicas serve on all the while. Start them with --watch 0, or each swaps by itself as soon as `current` changes.
            """
    )

    @OptionGroup var options: ClusterOptions
    @Option(help: ArgumentHelp("Which index. (default: the only one)", valueName: "name")) var index: String?
    @Option(help: ArgumentHelp("Which version. (default: what `current` names at each replica)", valueName: "version"))
    var version: String?
    @Option(help: ArgumentHelp("How long one replica may take to load.", valueName: "seconds")) var patience = 600.0

    func run() async throws {
        let topology = try self.options.topology()
        let password = try self.options.password()
        var done: [(address: ClusterTopology.Address, index: String, before: String)] = []
        // What cannot be reached now could not be taken back either.
        let found = try await self.options.each(of: topology) { node, _ in try await node.versions() }
        for (_, address, result) in found {
            if case .failure(let error) = result {
                throw AnnexError(
                    .system,
                    "nothing was reloaded, as a replica does not answer: \(error)",
                    at: "\(address)"
                )
            }
        }
        for shard in topology.shards {
            for address in shard.replicas {
                do {
                    let (index, before, now) = try await ClusterNode.with(address, password: password) { node in
                        try await self.reload(node)
                    }
                    done.append((address, index, before))
                    print(
                        "\(shard.name)  \(address)  \(index)  \(before == now ? "\(now), as before" : "\(before) → \(now)")"
                    )
                } catch {
                    print("\(shard.name)  \(address)  failed: \(error)")
                    try await self.rollBack(done, password)
                    throw ExitCode.failure
                }
            }
        }
        print("\(done.count) replicas reloaded")
    }

    /// Returns the index, what was served before and what is now.
    private func reload(_ node: ClusterNode) async throws -> (String, String, String) {
        let served = try await node.versions()
        guard let index = self.index ?? (served.count == 1 ? served.keys.first : nil), let before = served[index] else {
            throw AnnexError(
                .usage,
                "serves \(served.keys.sorted().joined(separator: ", "))",
                at: node.address.description,
                hint: "Say with --index which of them"
            )
        }
        let reply =
            if let version { try await node.ask("RELOAD", index, version, seconds: self.patience) } else {
                try await node.ask("RELOAD", index, seconds: self.patience)
            }
        do {
            let wanted = self.version ?? reply.text ?? ""
            try await Self.check(node, index, wanted)
            return (index, before, wanted)
        } catch {
            // This one has swapped already.
            _ = try? await node.ask("RELOAD", index, before, seconds: self.patience)
            throw error
        }
    }

    private static func check(_ node: ClusterNode, _ index: String, _ version: String) async throws {
        for _ in 0..<2 { _ = try await node.ask("PING", seconds: 1) }
        let now = try await node.versions()[index]
        guard now == version else {
            throw AnnexError(
                .system,
                "serves \(now ?? "nothing") after the swap instead of \(version)",
                at: node.address.description,
                hint: "Does something else reload it? Start it with --watch 0"
            )
        }
        guard let item = try await node.ask("VRANDMEMBER", index).text else {
            throw AnnexError(.system, "version \(version) has no items", at: node.address.description)
        }
        let near = try await node.ask("VSIM", index, "ELE", item, "COUNT", "1", "TRUTH", seconds: 30)
        guard near.elements?.count == 1 else {
            throw AnnexError(.system, "version \(version) finds nothing near its item", at: node.address.description)
        }
    }

    private func rollBack(
        _ done: [(address: ClusterTopology.Address, index: String, before: String)],
        _ password: String?
    ) async throws {
        for (address, index, before) in done.reversed() {
            do {
                _ = try await ClusterNode.with(address, password: password) { node in
                    try await node.ask("RELOAD", index, before, seconds: self.patience)
                }
                print("rolled back  \(address)  \(index)  \(before)")
            } catch { print("NOT rolled back  \(address)  \(index): \(error)") }
        }
    }
}
