import AnnexCore
import AnnexNode
import ArgumentParser

/// Describes the flags that name the topology's file and what it takes to ask its replicas.
struct ClusterOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("Who serves which users; see deploy/cluster.yaml.", valueName: "cluster.yaml"))
    var file: String
    @Option(help: ArgumentHelp("File whose first line is the replicas' password.", valueName: "file"))
    var passwordFile: String?

    func topology() throws -> ClusterTopology { try TopologyFile(self.file).topology }

    func password() throws -> String? { try self.passwordFile.map { try Password.read($0) } }

    /// Asks all replicas at once.
    ///
    /// - Returns: in the order of the file.
    func each<R: Sendable>(
        of topology: ClusterTopology,
        _ body: @escaping @Sendable (ClusterNode, _ shard: Int) async throws -> R
    ) async throws -> [(shard: Int, address: ClusterTopology.Address, result: Result<R, any Error>)] {
        let password = try self.password()
        let replicas = topology.shards.enumerated().flatMap { shard, facts in facts.replicas.map { (shard, $0) } }
        return await withTaskGroup(of: (Int, Result<R, any Error>).self) { group in
            for (index, (shard, address)) in replicas.enumerated() {
                group.addTask {
                    do {
                        let result = try await ClusterNode.with(address, password: password) {
                            try await body($0, shard)
                        }
                        return (index, .success(result))
                    } catch { return (index, .failure(error)) }
                }
            }
            var results: [Int: Result<R, any Error>] = [:]
            for await (index, result) in group { results[index] = result }
            return replicas.enumerated().compactMap { index, entry in
                results[index].map { (entry.0, entry.1, $0) }
            }
        }
    }
}
