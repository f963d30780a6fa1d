import AnnexNetwork
import Foundation

/// What `bench server` measured, for people and for programs.
struct LoadReport: Encodable {
    struct Run: Encodable {
        var mix: String
        /// Requests a second that were due; nil in a closed loop.
        var rate: Double?
        var result: LoadResult

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
    var users: Int
    var items: Int
    var k: Int
    var zipf: Double
    var seed: UInt64
    var runs: [Run]

    init(_ command: BenchServerCommand, _ subjects: LoadRequests.Subjects, _ runs: [Run]) {
        (self.host, self.port) = (command.host, command.port)
        (self.connections, self.pipeline, self.threads) = (command.connections, command.pipeline, command.threads)
        (self.warmup, self.seed) = (command.warmup, command.seed)
        (self.users, self.items) = (subjects.users.count, subjects.items.count)
        (self.k, self.zipf) = (subjects.k, subjects.zipf)
        self.runs = runs
    }

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
            let result = run.result
            table.rows.append(
                [run.mix, run.loop] + Self.cells(result.latency, result.seconds) + [
                    "\(result.errorCount)", Figures.bytes(result.bytesIn), Figures.bytes(result.bytesOut),
                    Figures.fixed(result.generatorSeconds, 2) + " s",
                ]
            )
            guard result.commands.count > 1 else { continue }
            for (name, latency) in result.commands.sorted(by: { $0.key < $1.key }) {
                table.rows.append(["  " + name, ""] + Self.cells(latency, result.seconds))
            }
        }
        return ([self.title, table.render(indent: "  ")] + self.runs.flatMap(self.remarks)).joined(separator: "\n")
    }

    private static func cells(_ latency: LoadResult.Latency, _ seconds: Double) -> [String] {
        let perSecond = seconds > 0 ? Double(latency.count) / seconds : 0
        return ["\(latency.count)", Figures.fixed(perSecond, perSecond < 100 ? 1 : 0)]
            + [latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map { Figures.fixed($0, 0) }
    }

    /// What a reader of the figures has to know.
    private func remarks(on run: Run) -> [String] {
        let result = run.result
        var out: [String] = []
        for (code, found) in result.errors.sorted(by: { $0.key < $1.key }) {
            out.append("\(run.name): \(found.count) × \(code), such as '\(found.example)'")
        }
        if result.unsent > 0 {
            out.append(
                "\(run.name): the server did not keep up; \(result.unsent) requests that were due were not even sent"
            )
        }
        let busy = result.generatorSeconds / max(result.seconds * Double(self.threads), 1e-9)
        if busy > 0.8 {
            out.append(
                "\(run.name): making the load took \(Figures.percent(busy)) of the time of its threads, so the load may be the "
                    + "limit; see --threads"
            )
        }
        return out
    }
}
