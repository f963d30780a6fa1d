import AnnexCore
import AnnexWire
import ArgumentParser
import Foundation

struct ClusterStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "A table of all replicas: shard, slots, health, lag, version, queries a second, p99.",
        discussion: "Queries a second are measured over one second; the p99 is that of TOPK since the replica started."
    )

    @OptionGroup var options: ClusterOptions
    @Flag(help: "Print tab-separated values without headings.") var tsv = false

    private struct Row: Sendable {
        let lag: String
        let versions: [String: String]
        let rate: Double
        let p99: String
    }

    func run() async throws {
        let topology = try self.options.topology()
        let found = try await self.options.each(of: topology) { node, _ in
            let before = try await node.info("commandstats")
            let start = ContinuousClock.now
            try await Task.sleep(for: .seconds(1))
            let after = try await node.info("commandstats", "latencystats", "log")
            let seconds = Double((ContinuousClock.now - start) / .milliseconds(1)) / 1_000
            let rate = Double(max(0, Self.queries(after) - Self.queries(before))) / seconds
            let p99 = after["latency_percentiles_usec_topk"].flatMap { ClusterNode.field("p99", of: $0) }
            return Row(
                lag: Self.lag(after),
                versions: try await node.versions(),
                rate: rate,
                p99: p99.map { $0 + " µs" } ?? "–"
            )
        }
        var table = TextTable(
            headings: ["shard", "slots", "replica", "health", "lag", "version", "queries/s", "p99"],
            rightAligned: [6, 7]
        )
        var down = 0
        for (shard, address, result) in found {
            let facts = topology.shards[shard]
            let columns = [facts.name, facts.slots.description, address.description]
            switch result {
            case .success(let row):
                let versions = row.versions.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
                table.rows.append(
                    columns + [
                        "ok", row.lag, versions.joined(separator: ", "), String(format: "%.0f", row.rate), row.p99,
                    ]
                )
            case .failure(let error):
                down += 1
                table.rows.append(columns + ["down: \(Self.short(error))", "–", "–", "–", "–"])
            }
        }
        print(self.tsv ? table.renderTSV() : table.render())
        guard down == 0 else { throw ExitCode.failure }
    }

    /// Commands about users and items so far: neither PING nor what tools ask.
    private static func queries(_ fields: [String: String]) -> Int {
        CommandTable.standard.specifications.reduce(0) { sum, command in
            guard command.owner == .handler, let line = fields["cmdstat_" + command.name] else { return sum }
            let (calls, overflow) = sum.addingReportingOverflow(
                max(0, ClusterNode.field("calls", of: line).flatMap { Int($0) } ?? 0)
            )
            return overflow ? .max : calls
        }
    }

    private static func short(_ error: any Error) -> String {
        let text = (error as? AnnexError)?.message ?? "\(error)"
        return String(text.prefix { !$0.isNewline }.prefix(60))
    }

    /// Events and milliseconds behind the log, of the index that is furthest behind.
    private static func lag(_ fields: [String: String]) -> String {
        let lines = fields.filter { $0.key.hasPrefix("log_") }.map(\.value)
        let worst = lines.compactMap { line -> (events: Int, ms: Int)? in
            guard let events = ClusterNode.field("lag_events", of: line).flatMap({ Int($0) }),
                let ms = ClusterNode.field("lag_ms", of: line).flatMap({ Int($0) })
            else { return nil }
            return (events, ms)
        }.max { ($0.ms, $0.events) < ($1.ms, $1.events) }
        return worst.map { "\($0.events) events, \($0.ms) ms" } ?? "–"
    }
}
