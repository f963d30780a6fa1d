import AnnexCore
package import AnnexEngine
import AnnexWire
import Synchronization

/// Describes a served version, for VINFO, INDEXES and INFO.
package enum VersionInfo {
    private static func quantization(_ kind: IndexKind) -> String {
        switch kind.storage {
        case .flat: "f32"
        case .sq8: "int8"
        case .pq: "pq"
        }
    }

    static func effortText(_ effort: SearchEffort) -> String {
        switch effort {
        case .efSearch(let ef): "efSearch \(ef)"
        case .nprobe(let nprobe): "nprobe \(nprobe)"
        case .kappa(let kappa): "kappa \(kappa)"
        case .exact: "exact"
        }
    }

    /// Writes Redis's fields first, in its order, then ours.
    static func write(_ version: ServedVersion, _ engine: Engine, _ reply: inout ReplyWriter) {
        let facts = version.description
        var links = 0
        if case .hnsw(let count) = facts.kind.family { links = count }
        let numbers: [(String, Int)] = [
            ("hnsw-m", links), ("vector-dim", facts.dimension), ("projection-input-dim", 0), ("size", facts.itemCount),
            ("max-level", version.maximumLevel ?? 0), ("attributes-count", version.attributesCount),
            ("vset-uid", 0), ("hnsw-max-node-uid", facts.itemCount), ("users", facts.userCount),
            ("unreachable-items", facts.unreachableCount ?? 0), ("bytes", version.totalBytes),
            ("heap-bytes", version.heapBytes), ("codes-bytes", version.layoutBytes),
            ("reloads", engine.status(of: facts.index).reloads),
        ]
        var texts: [(String, String)] = [
            ("index", facts.index.value), ("version", facts.version.value), ("index-kind", facts.kind.description),
            ("metric", facts.metric.rawValue), ("default-effort", Self.effortText(facts.defaultEffort.plain)),
            ("default-item-effort", Self.effortText(facts.defaultItemEffort)),
        ]
        if let most = facts.defaultEffort.leavingOut {
            texts.append(("default-effort-leaving-out-\(most.items)", Self.effortText(most.effort)))
        }
        if let error = engine.status(of: facts.index).lastError { texts.append(("last-reload-error", error)) }
        reply.map(1 + numbers.count + texts.count + (facts.measuredRecall == nil ? 0 : 1))
        reply.bulk("quant-type")
        reply.bulk(Self.quantization(facts.kind))
        for (name, value) in numbers {
            reply.bulk(name)
            reply.integer(value)
        }
        for (name, value) in texts {
            reply.bulk(name)
            reply.bulk(value)
        }
        if let recall = facts.measuredRecall {
            reply.bulk("measured-recall")
            reply.double(recall)
        }
    }

    /// Returns one line of INFO per index.
    package static func line(_ version: ServedVersion, _ engine: Engine) -> String {
        let facts = version.description
        let status = engine.status(of: facts.index)
        var line =
            "version=\(facts.version),kind=\(facts.kind.description.replacing(",", with: "+")),metric=\(facts.metric.rawValue),"
            + "items=\(facts.itemCount),users=\(facts.userCount),bytes=\(version.totalBytes),"
            + "reloads=\(status.reloads),failed_reloads=\(status.failedReloads)"
        if let recall = facts.measuredRecall { line += ",recall=\(recall)" }
        if let error = status.lastError { line += ",last_reload_error=\(Printable.escape(error, limit: 300))" }
        return line
    }

    /// Writes one line of INFO per index whose state is kept.
    package static func stateLine(_ version: ServedVersion) -> String? {
        guard let report = version.stateReport else { return nil }
        var line = "status=\(report.status)"
        for (name, value) in report.figures { line += ",\(name)=\(value)" }
        if let problem = report.problem { line += ",problem=\(Printable.escape(problem, limit: 300))" }
        return line
    }

    /// Writes one line of INFO per index that follows a log.
    package static func logLine(_ version: ServedVersion) -> String? {
        guard let report = version.log?.report else { return nil }
        var line = "status=\(report.status),id=\(report.identity.map { "\($0)" } ?? "none")"
        for (name, value) in report.figures { line += ",\(name)=\(value)" }
        let positions = report.positions.map { "\($0.block < 10 ? "0" : "")\($0.block):\($0.position)" }
        line += ",positions=" + positions.joined(separator: " ")
        if let problem = report.problem { line += ",problem=\(Printable.escape(problem, limit: 300))" }
        return line
    }

    /// Returns one line of INFO per index: how users who changed were served in the present version.
    package static func usersLine(_ version: ServedVersion) -> String {
        let (count, nanos) = version.solved
        let each = count == 0 ? 0 : nanos / count / 1_000
        return "fold_in=\(version.foldInName),histories=\(version.description.historyCount),"
            + "solves=\(count),usec_per_solve=\(each),cold_answers=\(version.coldAnswers.load(ordering: .relaxed)),"
            + "weights_left_out=\(version.weightsLeftOut)"
            + version.cacheFigures.map { ",\($0.name)=\($0.value)" }.joined()
    }
}
