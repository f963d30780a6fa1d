import AnnexCore
import AnnexWire

/// Redis Cluster's protocol: whose slot it is, and `CLUSTER`.
extension ConnectionHandler {
    /// Writes the error that sends the client to another shard, where the users of a command are that one's. True where it is written.
    func isMisdirected(_ command: CommandSpecification, _ request: Request) -> Bool {
        guard let cluster = self.loop.cluster, !cluster.ownsAll, let keys = command.keys(in: request) else {
            return false
        }
        var foreign: Int?
        var hasOwn = false
        for key in keys {
            let slot = request.withArgument(key) { Slot.of($0) }
            if cluster.owns(slot) {
                hasOwn = true
            } else {
                let isOther =
                    foreign.map { cluster.topology.shard(of: $0) != cluster.topology.shard(of: slot) } ?? false
                if isOther { return self.refuseCrossSlot() }
                foreign = slot
            }
        }
        guard let foreign else { return false }
        if hasOwn { return self.refuseCrossSlot() }
        guard let target = cluster.target(of: foreign) else {
            self.reply.error(code: .clusterDown, "no shard serves slot \(foreign): see `annctl cluster check`")
            return true
        }
        self.reply.error(code: .moved, "\(foreign) \(target.host):\(target.port)")
        return true
    }

    /// The same for any request, whose command is in the table.
    func isMisdirected(_ request: Request) -> Bool {
        guard case .command(let found, _, _) = self.loop.shared.table.lookup(request), found.isAboutUser else {
            return false
        }
        return self.isMisdirected(found, request)
    }

    private func refuseCrossSlot() -> Bool {
        self.reply.error(
            code: .crossSlot,
            "Keys in request don't hash to the same slot, and not to the same shard either: ask each shard, or a router"
        )
        return true
    }

    func keySlot() { self.reply.integer(self.request.withArgument(2) { Slot.of($0) }) }

    func clusterInfo() {
        self.reply.verbatim(
            self.loop.cluster?.info
                ?? "cluster_enabled:0\r\ncluster_state:ok\r\ncluster_slots_assigned:0\r\ncluster_known_nodes:1\r\ncluster_size:0\r\n"
        )
    }

    /// An answer that a server which stands alone does not have.
    func clusterAnswer(_ write: (ClusterView.Snapshot, inout ReplyWriter) -> Void) {
        guard let cluster = self.loop.cluster else {
            return self.reply.error(
                code: .error,
                "This instance has cluster support disabled: start it with --cluster FILE"
            )
        }
        write(cluster, &self.reply)
    }
}

extension ClusterView.Snapshot {
    /// `[[first, last, [host, port, id, metadata], …], …]`: the master of each range first.
    func writeSlots(_ reply: inout ReplyWriter) {
        reply.array(self.topology.shards.reduce(0) { $0 + $1.slots.ranges.count })
        for (position, shard) in self.topology.shards.enumerated() {
            let replicas = self.replicas(of: position)
            for range in shard.slots.ranges {
                reply.array(2 + replicas.count)
                reply.integer(range.lowerBound)
                reply.integer(range.upperBound)
                for replica in replicas {
                    reply.array(4)
                    reply.bulk(replica.host)
                    reply.integer(replica.port)
                    reply.bulk(replica.nodeID)
                    reply.map(0)
                }
            }
        }
    }

    func writeShards(_ reply: inout ReplyWriter) {
        reply.array(self.topology.shards.count)
        for (position, shard) in self.topology.shards.enumerated() {
            reply.map(2)
            reply.bulk("slots")
            reply.array(shard.slots.ranges.count * 2)
            for range in shard.slots.ranges {
                reply.integer(range.lowerBound)
                reply.integer(range.upperBound)
            }
            reply.bulk("nodes")
            let replicas = self.replicas(of: position)
            reply.array(replicas.count)
            for (rank, replica) in replicas.enumerated() {
                reply.map(7)
                reply.bulk("id")
                reply.bulk(replica.nodeID)
                reply.bulk("port")
                reply.integer(replica.port)
                reply.bulk("ip")
                reply.bulk(replica.host)
                reply.bulk("endpoint")
                reply.bulk(replica.host)
                reply.bulk("role")
                reply.bulk(rank == 0 ? "master" : "replica")
                reply.bulk("replication-offset")
                reply.integer(0)
                reply.bulk("health")
                reply.bulk(self.unwell.contains(replica) ? "failed" : "online")
            }
        }
    }

    /// A line for each node: `id ip:port@cport flags master-id ping pong epoch link-state slots…`.
    var nodes: String {
        var text = ""
        for position in self.topology.shards.indices {
            let replicas = self.replicas(of: position)
            for (rank, replica) in replicas.enumerated() {
                var flags = rank == 0 ? "master" : "slave"
                if replica == self.own { flags = "myself," + flags }
                let isUnwell = self.unwell.contains(replica)
                if isUnwell { flags += ",fail" }
                let master = rank == 0 ? "-" : replicas[0].nodeID
                text +=
                    "\(replica.nodeID) \(replica.host):\(replica.port)@\(replica.port) \(flags) \(master) 0 0 \(self.topology.epoch) "
                text += isUnwell ? "disconnected" : "connected"
                if rank == 0 {
                    text += " " + self.topology.shards[position].slots.description.replacing(",", with: " ")
                }
                text += "\n"
            }
        }
        return text
    }

    var info: String {
        let assigned = self.topology.shards.reduce(0) { $0 + $1.slots.count }
        let down = self.topology.shards.filter { $0.replicas.allSatisfy(self.unwell.contains) }
            .reduce(0) { $0 + $1.slots.count }
        let lines: [(String, String)] = [
            ("cluster_enabled", "1"), ("cluster_state", assigned == Slot.count && down == 0 ? "ok" : "fail"),
            ("cluster_slots_assigned", "\(assigned)"), ("cluster_slots_ok", "\(assigned - down)"),
            ("cluster_slots_pfail", "0"), ("cluster_slots_fail", "\(down)"),
            ("cluster_known_nodes", "\(self.topology.addresses.count)"),
            ("cluster_size", "\(self.topology.shards.count)"),
            ("cluster_current_epoch", "\(self.topology.epoch)"), ("cluster_my_epoch", "\(self.topology.epoch)"),
        ]
        return lines.map { "\($0):\($1)\r\n" }.joined()
    }
}
