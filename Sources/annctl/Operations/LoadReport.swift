import AnnexTools
import Foundation

/// What `bench server` measured, for people and for programs.
struct LoadReport: Encodable {
    struct Run: Encodable {
        var mix: String
        /// Requests a second that were due; nil in a closed loop.
        var rate: Double?
        var result: LoadResult
        /// Of the EVENTs that were sent beside it.
        var events: LoadResult?

        /// For the column.
        var loop: String { self.rate.map(Figures.short) ?? "closed" }

        /// For people: `TOPK, 5000/s`.
        var name: String { Self.name(self.mix, self.rate) }

        static func name(_ mix: String, _ rate: Double?) -> String {
            mix + (rate.map { ", \(Figures.short($0))/s" } ?? ", closed loop")
        }
    }

    var host: String
    var port: Int
    var connections: Int
    var pipeline: Int
    var threads: Int
    var warmup: Double
    /// EVENTs beside each run, and their connections.
    var eventsPerSecond: Double?
    var eventConnections: Int?
    var users: Int
    var items: Int
    var k: Int
    var zipf: Double
    var seed: UInt64
    var runs: [Run]

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    /// What the runs have in common.
    var title: String {
        var parts = ["\(self.host):\(self.port)", "\(self.connections) connections"]
        if self.pipeline > 1 { parts.append("up to \(self.pipeline) requests each at a time") }
        if self.users > 0 { parts.append("\(self.users) users") }
        if self.items > 0 { parts.append("\(self.items) items") }
        if self.users + self.items > 0 { parts.append("Zipf \(Figures.short(self.zipf)), k = \(self.k)") }
        if let eventsPerSecond, let eventConnections {
            parts.append("\(Figures.short(eventsPerSecond)) EVENTs a second on \(eventConnections) more")
        }
        return parts.joined(separator: ", ")
    }

    func table() -> String {
        var table = TextTable(
            headings: [
                "mix", "rate", "requests", "per second", "p50 µs", "p90", "p99", "p99.9", "max", "errors", "in", "out",
                "own CPU",
            ],
            rightAligned: Set(1...12)
        )
        for run in self.runs {
            table.rows.append([run.mix, run.loop] + Self.row(run.result))
            if run.result.commands.count > 1 {
                for (name, latency) in run.result.commands.sorted(by: { $0.key < $1.key }) {
                    table.rows.append(["  " + name, ""] + Self.cells(latency, run.result.seconds))
                }
            }
            guard let events = run.events else { continue }
            table.rows.append(["+ EVENT", self.eventsPerSecond.map(Figures.short) ?? ""] + Self.row(events))
        }
        return ([self.title, table.render(indent: "  ")] + self.runs.flatMap(self.allRemarks)).joined(separator: "\n")
    }

    private static func row(_ result: LoadResult) -> [String] {
        Self.cells(result.latency, result.seconds) + [
            "\(result.errorCount)", Figures.bytes(result.bytesIn), Figures.bytes(result.bytesOut),
            Figures.fixed(result.generatorSeconds, 2) + " s",
        ]
    }

    private static func cells(_ latency: LoadResult.Latency, _ seconds: Double) -> [String] {
        let perSecond = seconds > 0 ? Double(latency.count) / seconds : 0
        return ["\(latency.count)", Figures.fixed(perSecond, perSecond < 100 ? 1 : 0)]
            + [latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map { Figures.fixed($0, 0) }
    }

    /// What a reader of the figures has to know.
    private func allRemarks(on run: Run) -> [String] {
        self.remarks(on: run.result, named: run.name, threads: self.threads)
            + (run.events.map { self.remarks(on: $0, named: "EVENT beside \(run.name)", threads: 1) } ?? [])
    }

    private func remarks(on result: LoadResult, named name: String, threads: Int) -> [String] {
        var out: [String] = []
        for (code, found) in result.errors.sorted(by: { $0.key < $1.key }) {
            out.append("\(name): \(found.count) × \(code), such as '\(found.example)'")
        }
        if result.unsent > 0 {
            out.append(
                "\(name): the server did not keep up; \(result.unsent) requests that were due were not even sent"
            )
        }
        let busy = result.generatorSeconds / max(result.seconds * Double(threads), 1e-9)
        if busy > 0.8 {
            out.append(
                "\(name): making the load took \(Figures.percent(busy)) of the time of its threads, so the load may be the "
                    + "limit; see --threads"
            )
        }
        return out
    }
}
