import AnnexCore
import ArgumentParser

struct ClusterCheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Find what is wrong with a cluster: gaps, overlaps, nodes that do not answer or disagree.",
        discussion: "Prints one line for each fault. Exit code 0 where there is none, 1 otherwise."
    )

    @OptionGroup var options: ClusterOptions

    private struct Facts: Sendable {
        let cluster: [String: String]
        let versions: [String: String]
        let hasState: Bool
        let hasLog: Bool
    }

    func run() async throws {
        let topology: ClusterTopology
        do { topology = try self.options.topology() } catch let error as AnnexError {
            print("fault: \(error)")
            throw ExitCode.failure
        }
        let found = try await self.options.each(of: topology) { node, _ in
            let fields = try await node.info("cluster", "state", "log")
            return Facts(
                cluster: fields,
                versions: try await node.versions(),
                hasState: fields.keys.contains { $0.hasPrefix("state_") },
                hasLog: fields.keys.contains { $0.hasPrefix("log_") }
            )
        }
        var faults: [String] = []
        var versions: [String: [String: [String]]] = [:]
        for (shard, address, result) in found {
            switch result {
            case .failure(let error): faults.append("\(address) does not answer: \(error)")
            case .success(let facts):
                faults += Self.faults(of: facts, at: address, topology, shard)
                for (index, version) in facts.versions {
                    versions[index, default: [:]][version, default: []].append(address.description)
                }
            }
        }
        for (index, served) in versions.sorted(by: { $0.key < $1.key }) where served.count > 1 {
            let list = served.sorted { $0.key < $1.key }.map { "\($0.key) at \($0.value.joined(separator: ", "))" }
            faults.append("index '\(index)' is served in \(served.count) versions: \(list.joined(separator: "; "))")
        }
        let indexes = Set(found.compactMap { try? $0.result.get().versions.keys.sorted() })
        if indexes.count > 1 {
            faults.append("replicas serve different indexes: \(indexes.map { $0.joined(separator: "+") }.sorted())")
        }
        for fault in faults { print("fault: \(fault)") }
        let count = topology.addresses.count
        print(
            "\(topology.shards.count) shards, \(count) replicas, slots 0 to \(Slot.count - 1), epoch \(topology.epoch): "
                + (faults.isEmpty ? "all is well" : "\(faults.count) fault\(faults.count == 1 ? "" : "s")")
        )
        guard faults.isEmpty else { throw ExitCode.failure }
    }

    private static func faults(
        of facts: Facts,
        at address: ClusterTopology.Address,
        _ topology: ClusterTopology,
        _ shard: Int
    ) -> [String] {
        guard facts.cluster["cluster_enabled"] == "1" else {
            return ["\(address) was started without --cluster: it answers for everybody's users"]
        }
        var faults: [String] = []
        if facts.cluster["cluster_epoch"] != "\(topology.epoch)" {
            faults.append("\(address) has epoch \(facts.cluster["cluster_epoch"] ?? "?"), the file \(topology.epoch)")
        }
        let slots = topology.shards[shard].slots.description
        if facts.cluster["cluster_slots"] != slots {
            faults.append("\(address) serves slots \(facts.cluster["cluster_slots"] ?? "?"), the file says \(slots)")
        }
        if facts.cluster["cluster_node"] != address.description {
            faults.append("\(address) takes itself for \(facts.cluster["cluster_node"] ?? "?"): see --announce")
        }
        if facts.hasState, !facts.hasLog, topology.shards[shard].replicas.count > 1 {
            faults.append("\(address) keeps events to itself, and its shard has other replicas: start all with --log")
        }
        return faults
    }
}
