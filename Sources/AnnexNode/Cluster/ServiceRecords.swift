import AnnexCore
import CResolv

/// Finds replicas that the DNS names: the service records of a Kubernetes headless service, say.
enum ServiceRecords {
    static let prefix = "srv:"
    private static let limit = 256

    /// Asks the system's resolver. Blocks.
    ///
    /// - Returns: by priority, then by name, so that all who ask agree about the first.
    /// - Throws: `.system` where it does not answer, `.notFound` where the name has no records, `.limit` where it has more than
    ///   256.
    static func lookUp(_ name: String) throws(AnnexError) -> [ClusterTopology.Address] {
        var records = [annex_srv_record](repeating: annex_srv_record(), count: Self.limit)
        let count = Int(annex_srv_lookup(name, &records, records.count))
        guard count >= 0 else {
            throw AnnexError(
                .system,
                "the resolver did not answer for SRV records of '\(Printable.escape(name))'",
                hint: "See /etc/resolv.conf"
            )
        }
        guard count > 0 else {
            throw AnnexError(
                .notFound,
                "there are no SRV records of '\(Printable.escape(name))'",
                hint: "The name is like _annex._tcp.shard-a.default.svc.cluster.local; is any replica ready?"
            )
        }
        guard count <= Self.limit else {
            throw AnnexError(
                .limit,
                "'\(Printable.escape(name))' has \(count) SRV records, more than \(Self.limit)",
                hint: "Name the replicas as HOST:PORT, or fewer of them by another name"
            )
        }
        let found = records[..<count].compactMap { record -> (priority: UInt16, address: ClusterTopology.Address)? in
            let host = withUnsafeBytes(of: record.host) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            return ClusterTopology.Address(parsing: "\(host):\(record.port)").map { (record.priority, $0) }
        }
        return found.sorted { ($0.priority, $0.address.description) < ($1.priority, $1.address.description) }
            .map(\.address)
    }
}
