import AnnexCore
import AnnexEngine
import AnnexWire

/// Answers commands that tell about all indexes.
extension ShardHandler {
    private var versions: [ServedVersion] { self.lanes.map(\.version) }

    /// Writes a map per index: name, version, items, users, kind, metric.
    func indexes(_ reply: inout ReplyWriter) {
        let versions = self.versions
        reply.array(versions.count)
        for version in versions {
            let facts = version.description
            reply.map(7)
            for (name, value) in [
                ("name", facts.index.value), ("version", facts.version.value), ("kind", facts.kind.description),
                ("metric", facts.metric.rawValue),
            ] {
                reply.bulk(name)
                reply.bulk(value)
            }
            for (name, value) in [
                ("items", facts.itemCount), ("users", facts.userCount), ("dimension", facts.dimension),
            ] {
                reply.bulk(name)
                reply.integer(value)
            }
        }
    }

    /// Answers READY, which tells whether this shard should be sent requests.
    func ready(_ reply: inout ReplyWriter) {
        let versions = self.versions
        var missing: [String] = []
        for version in versions {
            let index = version.description.index
            if let state = version.stateReport, state.status == "failed" {
                missing.append("state of '\(index)': \(state.problem ?? "failed")")
            }
            if let reason = version.log?.unreadiness { missing.append("log of '\(index)': \(reason)") }
        }
        if versions.isEmpty { missing.append("version: no index is loaded") }
        guard !missing.isEmpty else { return reply.status("OK") }
        reply.error(code: .loading, "not ready: " + missing.joined(separator: ", "))
    }
}
