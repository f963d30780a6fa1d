/// Says who serves which users: shards own slots, and each has replicas. It is a value, read from one file.
package struct ClusterTopology: Sendable, Equatable {
    /// Holds an address at which other processes reach a replica.
    package struct Address: Sendable, Hashable, CustomStringConvertible {
        package let host: String
        package let port: Int

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }

        /// Returns nil unless `text` is `host:port`; IPv6 in brackets or not, as what is behind the last colon is the
        /// port.
        package init?(parsing text: String) {
            guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
                (1...65_535).contains(port), text[text.index(after: colon)...].utf8.allSatisfy({ $0 != 0x2b })
            else { return nil }
            var host = text[..<colon]
            if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
            guard !host.isEmpty, host.utf8.count <= 253,
                host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "@") && $0 != UInt8(ascii: ",") })
            else { return nil }
            self.init(host: String(host), port: port)
        }

        /// IPv6 addresses stand in brackets.
        package var description: String {
            self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
        }
    }

    package struct Shard: Sendable, Equatable {
        package let name: String
        package let slots: SlotSet
        /// They stand in the order of the file: the first healthy one is named as the master to cluster clients.
        package let replicas: [Address]

        package init(name: String, slots: SlotSet, replicas: [Address]) {
            self.name = name
            self.slots = slots
            self.replicas = replicas
        }
    }

    /// Grows with each change of the file.
    package let epoch: Int
    package let shards: [Shard]
    /// Has the position in `shards` for each slot; -1 where nobody owns it.
    private let owners: [Int16]

    package init(epoch: Int, shards: [Shard]) {
        self.epoch = epoch
        self.shards = shards
        var owners = [Int16](repeating: -1, count: Slot.count)
        for (position, shard) in shards.enumerated() {
            for range in shard.slots.ranges { for slot in range { owners[slot] = Int16(clamping: position) } }
        }
        self.owners = owners
    }

    /// Returns the position of the shard that owns a slot. O(1).
    package func shard(of slot: Int) -> Int? {
        let owner = self.owners[slot]
        return owner >= 0 ? Int(owner) : nil
    }

    package var addresses: [Address] { self.shards.flatMap(\.replicas) }

    /// Returns the position of the shard that has a replica at an address.
    package func shard(with address: Address) -> Int? {
        self.shards.firstIndex { $0.replicas.contains(address) }
    }

    /// Reasons why it cannot be served, each a sentence; empty where there is none.
    package var faults: [String] {
        var faults: [String] = []
        if self.shards.isEmpty { faults.append("there are no shards") }
        if self.epoch < 1 {
            faults.append("epoch is \(self.epoch); give a number from 1 on that grows with each change")
        }
        for shard in self.shards {
            if shard.replicas.isEmpty { faults.append("shard '\(shard.name)' has no replicas") }
            if shard.slots.ranges.isEmpty { faults.append("shard '\(shard.name)' has no slots") }
        }
        let names = Dictionary(grouping: self.shards, by: \.name).filter { $0.value.count > 1 }
        for name in names.keys.sorted() { faults.append("two shards are named '\(name)'") }
        let repeated = Dictionary(grouping: self.addresses, by: \.self).filter { $0.value.count > 1 }
        for address in repeated.keys.map(\.description).sorted() { faults.append("\(address) is there twice") }
        let (missing, twice) = SlotSet.faults(of: self.shards.map(\.slots))
        if !self.shards.isEmpty, missing.count > 0 { faults.append("no shard owns slots \(missing)") }
        if twice.count > 0 { faults.append("more than one shard owns slots \(twice)") }
        return faults
    }
}
