import AnnexBuild
import AnnexCore
import AnnexNode
import ArgumentParser
import Foundation

extension SearchEngine: ExpressibleByArgument {}

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure an index, or a running server: latency, throughput, recall.",
        subcommands: [BenchIndexCommand.self, BenchServerCommand.self]
    )
}

struct BenchIndexCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "index",
        abstract: "Search a version in this process, one query at a time on one thread.",
        discussion: """
            Recall is that of the exact answers, which are computed first. An effort is `kappa 0.5`, `nprobe 8`, \
            `ef 64` or `exact`.

              annctl bench index indexes/NAME --effort 'kappa 0.3' --effort 'kappa 0.5' --effort exact
            """
    )

    @OptionGroup var index: IndexArgument
    @Option(help: ArgumentHelp("Queries: `users`, `items` (moved a little) or a file of vectors. (default: users)"))
    var queries: String?
    @Option(help: "At most so many queries, drawn by the seed.") var count = 10_000
    @Option(help: "Answers per query.") var k = 10
    @Option(name: .customLong("effort"), help: ArgumentHelp("May be given several times. (default: a ladder)"))
    var efforts: [String] = []
    @Option(help: "Times that all queries run at each effort; speed is the median's.") var rounds = 3
    @Option(help: "What searches: annex, or faiss alone as a reference.") var engine = SearchEngine.annex
    @Option(
        help:
            "Leave so many random items out of each query's answers; marking them is not timed, and p50 stands beside that with nothing left out and as much marked."
    )
    var excludeRandom: Int?
    @Option(help: "Leave each query's own best so many items out; marking them is not timed.") var excludeTop: Int?
    @Option(help: "Cores for the exact answers. (default: all)") var threads: Int?
    @Option(help: "Seed of the sample.") var seed: UInt64 = 1
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard (1...1_000_000).contains(self.count) else { throw ValidationError("--count is 1 to 1000000") }
        guard (1...Limits.maximumK).contains(self.k) else { throw ValidationError("--k is 1 to \(Limits.maximumK)") }
        guard self.excludeRandom == nil || self.excludeTop == nil else {
            throw ValidationError("--exclude-random and --exclude-top exclude one another")
        }
        guard (0...Limits.maximumK).contains(self.excludeTop ?? self.excludeRandom ?? 0) else {
            throw ValidationError("at most \(Limits.maximumK) items can be excluded")
        }
        guard (1...1_000).contains(self.rounds) else { throw ValidationError("--rounds is 1 to 1000") }
        guard (1...1_024).contains(self.threads ?? 1) else { throw ValidationError("--threads is 1 to 1024") }
    }

    func run() throws {
        let source: IndexBenchmark.Queries? = self.queries.map {
            $0 == "users" ? .users : $0 == "items" ? .items : .file($0)
        }
        let benchmark = try IndexBenchmark(
            folder: PublishedVersions.folder(of: self.index.folder, self.index.resolved()),
            queries: source,
            limit: self.count,
            k: self.k,
            usesFaiss: self.engine == .faiss,
            excluding: self.excludeTop.map { .ownTop($0) } ?? self.excludeRandom.map { .random($0) } ?? .nothing,
            seed: self.seed,
            threads: self.threads ?? ProcessInfo.processInfo.activeProcessorCount
        )
        let lines = try self.chosenEfforts(benchmark.manifest).map { name, effort in
            try benchmark.measure(effort, name: name, rounds: self.rounds)
        }
        self.json ? try self.printJSON(benchmark, lines) : self.printTable(benchmark, lines)
    }

    private func chosenEfforts(_ manifest: Manifest) throws(AnnexError) -> [(String, SearchEffort)] {
        guard self.efforts.isEmpty else {
            return try self.efforts.map { text throws(AnnexError) in (text, try Self.effort(text)) }
        }
        let kind = manifest.parsedKind
        let knob = Metric(rawValue: manifest.metric).flatMap {
            kind?.knob($0, withCodes: self.engine == .annex)
        }
        let ladder: [String] =
            switch knob {
            case .kappa: [0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1].map { "kappa \($0)" } + ["exact"]
            case .efSearch: [16, 32, 64, 128, 256, 512].map { "ef \($0)" } + ["exact"]
            case .nprobe: [1, 2, 4, 8, 16, 32, 64].map { "nprobe \($0)" } + ["exact"]
            case nil: ["exact"]
            }
        return try ladder.map { text throws(AnnexError) in (text, try Self.effort(text)) }
    }

    static func effort(_ text: String) throws(AnnexError) -> SearchEffort {
        let words = text.split(whereSeparator: { $0 == " " || $0 == "=" }).map(String.init)
        switch (words.first, words.count) {
        case ("exact", 1): return .exact
        case ("kappa", 2):
            if let value = Float(words[1]), value > 0, value <= 1 { return .kappa(value) }
        case ("nprobe", 2):
            if let value = Int(words[1]), (1...Limits.maximumNprobe).contains(value) { return .nprobe(value) }
        case ("ef", 2):
            if let value = Int(words[1]), (1...Limits.maximumEfSearch).contains(value) { return .efSearch(value) }
        default: break
        }
        throw AnnexError(
            .usage,
            "'\(Printable.escape(text))' is no effort",
            hint: "Give 'kappa 0.5', 'nprobe 8', 'ef 64' or 'exact'"
        )
    }

    private func printTable(_ benchmark: IndexBenchmark, _ lines: [IndexBenchmark.Line]) {
        let manifest = benchmark.manifest
        print(
            "\(manifest.items) items × \(manifest.dimension), \(manifest.metric), \(manifest.kind), engine \(self.engine.rawValue): ",
            terminator: ""
        )
        print("\(Figures.fixed(benchmark.bytesPerItem, 1)) bytes an item beside the vectors")
        print(
            "\(benchmark.queryCount) queries (\(benchmark.queryKind)), k = \(self.k), one at a time, one thread, ",
            terminator: ""
        )
        print("\(self.rounds) rounds; \(benchmark.itemsInTruth) items stand in somebody's top \(self.k)")
        let leavesOut = lines.contains { $0.p50LeavingNothingOut != nil }
        var table = TextTable(
            headings: [
                "effort", "recall", "worst", "below ½", "never returned", "read", "p50 µs", "p90", "p99", "p99.9",
                "queries/s",
            ] + (leavesOut ? ["p50, nothing out", "ratio"] : []),
            rightAligned: Set(1...12)
        )
        for line in lines {
            table.rows.append(
                [
                    line.effort, Figures.fixed(line.recall, 4), Figures.fixed(line.worst, 2), "\(line.below)",
                    "\(line.neverReturned)", line.itemsRead.map { "\(Int($0.rounded()))" } ?? "-",
                    Figures.fixed(line.p50, 1),
                    Figures.fixed(line.p90, 1), Figures.fixed(line.p99, 1), Figures.fixed(line.p999, 1),
                    "\(Int(line.queriesPerSecond))",
                ] + Self.beside(line)
            )
        }
        print(table.render(indent: "  "))
    }

    /// The same searches with nothing left out; empty where nothing is.
    private static func beside(_ line: IndexBenchmark.Line) -> [String] {
        guard let plain = line.p50LeavingNothingOut else { return [] }
        return [Figures.fixed(plain, 1), Figures.fixed(line.p50 / max(plain, 1e-9), 2)]
    }

    private func printJSON(_ benchmark: IndexBenchmark, _ lines: [IndexBenchmark.Line]) throws {
        struct Report: Encodable {
            var index: String
            var kind: String
            var metric: String
            var engine: String
            var items: Int
            var dimension: Int
            var k: Int
            var queries: Int
            var queryKind: String
            var itemsInTruth: Int
            var bytesPerItem: Double
            var lines: [IndexBenchmark.Line]
        }
        let manifest = benchmark.manifest
        let report = Report(
            index: manifest.index,
            kind: manifest.kind,
            metric: manifest.metric,
            engine: self.engine.rawValue,
            items: manifest.items,
            dimension: manifest.dimension,
            k: self.k,
            queries: benchmark.queryCount,
            queryKind: benchmark.queryKind,
            itemsInTruth: benchmark.itemsInTruth,
            bytesPerItem: benchmark.bytesPerItem,
            lines: lines
        )
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(report), as: UTF8.self))
    }
}
