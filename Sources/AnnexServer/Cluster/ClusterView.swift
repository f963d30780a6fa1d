package import AnnexCore
import Crypto
import Synchronization

/// Holds a server's view of the cluster that it is part of: who serves which slots, and who is well. Any thread may use
/// it; loops look at copies of their own.
package final class ClusterView: Sendable {
    package typealias Address = ClusterTopology.Address

    /// Shows the view as of one moment. It is a value.
    package struct Snapshot: Sendable {
        package let topology: ClusterTopology
        /// Names this server, as others reach it.
        package let own: Address
        /// Says which shard this server is of. It is nil where it is of none of the topology.
        package let shard: Int?
        /// Tells whether nobody's users are another's: so of a router, which looks for the slot itself.
        let ownsAll: Bool
        package fileprivate(set) var unwell: Set<Address> = []

        package init(topology: ClusterTopology, own: Address) {
            self.topology = topology
            self.own = own
            self.shard = topology.shard(with: own)
            self.ownsAll = self.shard.map { topology.shards[$0].slots.count == Slot.count } ?? false
        }

        /// Tells whether this server answers for a slot. O(1).
        func owns(_ slot: Int) -> Bool { self.topology.shard(of: slot) == self.shard && self.shard != nil }

        /// Returns a shard's replicas, those that are well first, otherwise as in the file: the first is named as
        /// master.
        func replicas(of shard: Int) -> [Address] {
            let all = self.topology.shards[shard].replicas
            return all.filter { !self.unwell.contains($0) } + all.filter { self.unwell.contains($0) }
        }

        /// Returns the replica to go to with a slot.
        func target(of slot: Int) -> Address? { self.topology.shard(of: slot).flatMap { self.replicas(of: $0).first } }
    }

    private struct State {
        var snapshot: Snapshot
        var watchers: [@Sendable (Snapshot) -> Void] = []
    }

    private let state: Mutex<State>

    package init(_ snapshot: Snapshot) { self.state = Mutex(State(snapshot: snapshot)) }

    package var snapshot: Snapshot { self.state.withLock { $0.snapshot } }

    /// Calls `watcher` now, and after each change on the thread that changed it.
    package func watch(_ watcher: @escaping @Sendable (Snapshot) -> Void) {
        watcher(
            self.state.withLock { state in
                state.watchers.append(watcher)
                return state.snapshot
            }
        )
    }

    package func change(to topology: ClusterTopology) {
        self.update { snapshot in
            var next = Snapshot(topology: topology, own: snapshot.own)
            // Who has just come is looked at first.
            let known = Set(snapshot.topology.addresses)
            next.unwell = snapshot.unwell.filter { known.contains($0) && topology.addresses.contains($0) }
            snapshot = next
        }
    }

    package func set(_ address: Address, isWell: Bool) {
        guard self.snapshot.unwell.contains(address) == isWell else { return }
        self.update { if isWell { $0.unwell.remove(address) } else { $0.unwell.insert(address) } }
    }

    private func update(_ body: (inout Snapshot) -> Void) {
        let (snapshot, watchers) = self.state.withLock { state in
            body(&state.snapshot)
            return (state.snapshot, state.watchers)
        }
        for watcher in watchers { watcher(snapshot) }
    }
}

extension ClusterTopology.Address {
    /// Returns the 40 hexadecimal digits that cluster clients know a node by: the same wherever and whenever it is
    /// asked.
    var nodeID: String {
        Insecure.SHA1.hash(data: Array(self.description.utf8)).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }
}
