package import AnnexCore
import AnnexRouter
import Foundation
import Yams

/// Reads `cluster.yaml`, which says who serves which users.
package struct TopologyFile: Sendable {
    package let topology: ClusterTopology
    /// How routers treat replicas: what stands under `router:`, and the defaults.
    let router: RouterSettings
    /// Holds the bytes that were read.
    let bytes: Data

    private static let limit = 1 << 20

    /// Reads and checks a file.
    ///
    /// - Throws: `.usage`, with the line where there is one, for what is not readable, and for what must not be served:
    ///   slots that nobody owns or two do, an address that is there twice, a setting of routers that cannot be.
    package init(_ path: String) throws(AnnexError) { try self.init(Self.read(path), at: path) }

    /// The bytes of a file, and one more than there may be of one that is too large.
    static func read(_ path: String) throws(AnnexError) -> Data {
        do {
            let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? file.close() }
            return try file.read(upToCount: Self.limit + 1) ?? Data()
        } catch { throw AnnexError(.usage, "cannot read the topology", at: path, hint: "Give a YAML file") }
    }

    /// Checks all that a file says, whoever reads it and whether at a start or later.
    ///
    /// - Parameter path: for errors.
    init(_ bytes: Data, at path: String) throws(AnnexError) {
        guard bytes.count <= Self.limit else {
            throw AnnexError(.usage, "the topology has more than 1 MiB", at: path, hint: "Give ranges of slots")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw AnnexError(.usage, "the topology is not UTF-8", at: path, hint: "Write addresses and names in ASCII")
        }
        let node: Node?
        do { node = try Yams.compose(yaml: text) } catch {
            throw AnnexError(.usage, "not YAML: \(error)", at: path)
        }
        let reader = TopologyReader(path: path)
        guard let node, case .mapping(let top) = node else {
            throw reader.bad("a topology is a list of 'key: value' lines", nil)
        }
        var epoch = 1
        var shards: [ClusterTopology.Shard] = []
        var router = RouterSettings()
        for (keyNode, value) in top {
            switch keyNode.string ?? "" {
            case "epoch":
                guard let number: Int = value.scalar.flatMap({ PlainNumber.whole($0.string) }) else {
                    throw reader.bad("'epoch' is no whole number \(PlainNumber.advice)", value)
                }
                epoch = number
            case "shards":
                guard let list = value.sequence else { throw reader.bad("'shards' is no list", value) }
                for (position, shard) in list.enumerated() { shards.append(try reader.shard(shard, position)) }
            case "router": router = try reader.router(value)
            default:
                throw reader.bad(
                    "unknown key '\(Printable.escape(keyNode.string ?? ""))'; keys: epoch, router, shards",
                    keyNode
                )
            }
        }
        guard shards.count <= 1_024 else { throw reader.bad("\(shards.count) shards; at most 1024 are served", nil) }
        self.topology = ClusterTopology(epoch: epoch, shards: shards)
        self.router = router
        self.bytes = bytes
        let faults = self.topology.faults
        guard faults.isEmpty else {
            throw AnnexError(
                .usage,
                faults.joined(separator: "; "),
                at: path,
                hint: "Each of slots 0 to \(Slot.count - 1) belongs to one shard; see deploy/cluster.yaml"
            )
        }
    }
}

/// Reads pieces of a topology. Its errors say where a fault is.
private struct TopologyReader {
    let path: String

    func bad(_ why: String, _ node: Node?) -> AnnexError {
        let line = node?.mark.map { ":\($0.line)" } ?? ""
        return AnnexError(.usage, why, at: self.path + line, hint: "See deploy/cluster.yaml")
    }

    private func failed(_ error: AnnexError, _ node: Node) -> AnnexError {
        let line = node.mark.map { ":\($0.line)" } ?? ""
        return AnnexError(error.code, error.message, at: self.path + line, hint: error.hint)
    }

    func shard(_ node: Node, _ position: Int) throws(AnnexError) -> ClusterTopology.Shard {
        guard case .mapping(let mapping) = node else { throw self.bad("a shard has slots and replicas", node) }
        var name = "shard-\(position)"
        var slots = SlotSet([])
        var replicas: [ClusterTopology.Address] = []
        for (keyNode, value) in mapping {
            switch keyNode.string ?? "" {
            case "name":
                guard let entry = EntryName(value.scalar?.string ?? "") else {
                    throw self.bad("a shard's name is like an index's: letters, digits, '.', '_' and '-'", value)
                }
                name = entry.value
            case "slots":
                let text = self.texts(value).joined(separator: ",")
                guard let set = SlotSet(parsing: text) else {
                    throw self.bad("'slots' is like 0-8191 or 0-100,200, got '\(Printable.escape(text))'", value)
                }
                slots = set
            case "replicas":
                for text in self.texts(value) {
                    if text.hasPrefix(ServiceRecords.prefix) {
                        let name = String(text.dropFirst(ServiceRecords.prefix.count))
                        do { replicas += try ServiceRecords.lookUp(name) } catch { throw self.failed(error, value) }
                        continue
                    }
                    guard let address = ClusterTopology.Address(parsing: text) else {
                        throw self.bad("a replica is HOST:PORT or srv:NAME, got '\(Printable.escape(text))'", value)
                    }
                    replicas.append(address)
                }
            default:
                throw self.bad(
                    "unknown key '\(Printable.escape(keyNode.string ?? ""))'; keys: name, replicas, slots",
                    keyNode
                )
            }
        }
        return ClusterTopology.Shard(name: name, slots: slots, replicas: replicas)
    }

    func router(_ node: Node) throws(AnnexError) -> RouterSettings {
        guard case .mapping(let mapping) = node else { throw self.bad("'router' has 'key: value' lines", node) }
        var settings = RouterSettings()
        for (keyNode, value) in mapping {
            guard let key = keyNode.string, let text = value.scalar?.string else {
                throw self.bad("'\(Printable.escape(keyNode.string ?? ""))' is not a single value", keyNode)
            }
            do throws(AnnexError) { try RouterOptions.set(key, to: text, in: &settings) } catch {
                throw self.failed(error, keyNode)
            }
        }
        return settings
    }

    /// Reads one text, or a list of them.
    private func texts(_ node: Node) -> [String] {
        node.sequence?.map { $0.scalar?.string ?? "" } ?? [node.scalar?.string ?? ""]
    }
}
