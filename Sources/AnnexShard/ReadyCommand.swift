import AnnexCore
import AnnexEngine
import AnnexWire

/// READY: whether this shard should be sent requests.
enum ReadyCommand {
    static func write(_ versions: [ServedVersion], _ reply: inout ReplyWriter) {
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
