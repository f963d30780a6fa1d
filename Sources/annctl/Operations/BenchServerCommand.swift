import AnnexCore
import AnnexNode
import AnnexTools
import ArgumentParser
import Foundation

struct BenchServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server",
        abstract: "Put a load on a running server over TCP: latency and throughput.",
        discussion: """
            Without --rate each connection asks again as soon as it has its answer (a closed loop). With it, requests are due \
            at equal distances whatever the server does, and a latency counts from the time when its request was due, so a \
            server that stalls cannot hide it. PING works with any server that speaks RESP. EVENT changes the server's state: \
            each adds an event, with the time at which the server gets it.

            With --events-per-second EVENTs are sent beside the mix, from the warm-up on, at that rate and on connections and \
            a thread of their own; their latency is shown for itself.

              annctl bench server --user-ids users.txt --mix TOPK=90,PING=10
              annctl bench server --user-ids users.txt --rate 5000 --rate 10000 --rate 20000 --svg load.svg
              annctl bench server --user-ids users.txt --mix TOPK --connections 8 --events-per-second 5000
            """
    )

    @Option(help: "Address of the server.") var host = "127.0.0.1"
    @Option(help: "Port of the server.") var port = 7700
    @Option(help: ArgumentHelp("File whose first line is the password.", valueName: "file")) var passwordFile: String?

    @Option(help: "Connections.") var connections = 32
    @Option(help: "Requests that a connection may wait for at a time.") var pipeline = 1
    @Option(help: "Threads that make the load.") var threads = 1
    @Option(name: .customLong("rate"), help: "Requests a second; may be given several times. (default: a closed loop)")
    var rates: [Double] = []
    @Option(help: "Seconds that are measured. (default: 10, or as long as --requests takes)") var seconds: Double?
    @Option(help: "At most so many requests are measured.") var requests: Int?
    @Option(help: "Seconds of load before what is measured.") var warmup = 1.0
    @Option(help: "Seconds within which the server has to accept a connection, and to answer.") var timeout = 5.0

    @Option(
        name: .customLong("mix"),
        help: ArgumentHelp(
            "PING, TOPK, VSIM and EVENT by weight; may be given several times. (default: TOPK with --user-ids, else PING)",
            valueName: "TOPK=90,PING=10"
        )
    )
    var mixes: [String] = []
    @Option(help: ArgumentHelp("EVENTs beside the mix, due at equal distances.", valueName: "rate"))
    var eventsPerSecond: Double?
    @Option(help: "Connections for them.") var eventConnections = 64
    @OptionGroup var subjects: LoadSubjectOptions
    @Option(help: "Seed of all that is drawn at random.") var seed: UInt64 = 1

    @Flag(help: "Print JSON.") var json = false
    @Option(
        help: ArgumentHelp(
            "Draw latency by percentile; with several rates also p99 by throughput.",
            valueName: "file.svg"
        )
    )
    var svg: String?
    @Flag(help: "Exit with 0 even if the server answered with errors.") var allowErrors = false

    func validate() throws {
        guard (1...65_535).contains(self.port) else { throw ValidationError("--port is 1 to 65535, got \(self.port)") }
        guard (1...10_000).contains(self.connections) else { throw ValidationError("--connections is 1 to 10000") }
        guard (1...1_000).contains(self.pipeline) else { throw ValidationError("--pipeline is 1 to 1000") }
        guard (1...min(256, self.connections)).contains(self.threads) else {
            throw ValidationError("--threads is 1 to 256, and no more than --connections")
        }
        guard self.rates.allSatisfy({ (0.01...10_000_000).contains($0) }) else {
            throw ValidationError("--rate is 0.01 to 10000000")
        }
        guard self.seconds.map({ (0.01...86_400).contains($0) }) ?? true else {
            throw ValidationError("--seconds is 0.01 to 86400")
        }
        guard self.requests.map({ (1...1_000_000_000).contains($0) }) ?? true else {
            throw ValidationError("--requests is 1 to 1000000000")
        }
        guard self.eventsPerSecond.map({ (0.01...10_000_000).contains($0) }) ?? true else {
            throw ValidationError("--events-per-second is 0.01 to 10000000")
        }
        guard self.eventsPerSecond == nil || self.requests == nil else {
            throw ValidationError("--events-per-second goes with --seconds, not with --requests")
        }
        guard (1...10_000).contains(self.eventConnections) else {
            throw ValidationError("--event-connections is 1 to 10000")
        }
        guard (0...3_600).contains(self.warmup) else { throw ValidationError("--warmup is 0 to 3600") }
        guard (0.01...600).contains(self.timeout) else { throw ValidationError("--timeout is 0.01 to 600") }
    }

    func run() async throws {
        try self.checkDrawing()
        let mixes = try self.chosenMixes()
        let beside = try self.eventsPerSecond == nil ? [] : [LoadMix(parsing: LoadMix.Command.event.rawValue)]
        let subjects = try await self.subjects.read(for: mixes + beside, at: self.settings(rate: nil))
        let events = try beside.first.map { mix throws(AnnexError) in try LoadRequests(mix, subjects) }
        let plan = try mixes.flatMap { mix throws(AnnexError) in
            let requests = try LoadRequests(mix, subjects)
            return (self.rates.isEmpty ? [nil] : self.rates.map(Optional.init)).map { (mix.text, $0, requests) }
        }
        let bar = plan.count > 1 ? ProgressBar(stages: plan.map { LoadReport.Run.name($0.0, $0.1) }) : nil
        var runs: [LoadReport.Run] = []
        var failure: (any Error)?
        do {
            for (mix, rate, requests) in plan {
                bar?.show(LoadReport.Run.name(mix, rate), 0)
                runs.append(try await self.measure(mix, rate, requests, events))
                bar?.show(LoadReport.Run.name(mix, rate), 1)
            }
        } catch { failure = error }
        bar?.end()
        // What was measured before something went wrong is shown.
        if !runs.isEmpty { try self.show(LoadReport(self, subjects, runs)) }
        if let failure { throw failure }
        try self.complain(runs)
    }

    /// - Parameter events: sent beside the load, where there are any.
    private func measure(_ mix: String, _ rate: Double?, _ requests: LoadRequests, _ events: LoadRequests?) async throws
        -> LoadReport.Run
    {
        let settings = try self.settings(rate: rate)
        guard let events else {
            return .init(mix: mix, rate: rate, result: try await LoadGenerator.run(settings, requests))
        }
        var beside = settings
        (beside.connections, beside.pipeline, beside.threads) = (self.eventConnections, 1, 1)
        beside.rate = self.eventsPerSecond
        beside.seed = settings.seed &+ 1
        async let result = LoadGenerator.run(beside, events)
        let own = try await LoadGenerator.run(settings, requests)
        return .init(mix: mix, rate: rate, result: own, events: try await result)
    }

    /// Before a long run rather than behind it.
    private func checkDrawing() throws(AnnexError) {
        guard let svg else { return }
        let folder = URL(fileURLWithPath: svg).deletingLastPathComponent().path
        guard FileManager.default.isWritableFile(atPath: folder) else {
            throw AnnexError(.usage, "nothing can be written there", at: svg, hint: "Is there such a folder? See --svg")
        }
    }

    private func show(_ report: LoadReport) throws {
        if let svg { try Data(LoadDrawing(report).text.utf8).write(to: URL(fileURLWithPath: svg)) }
        print(self.json ? try report.json() : report.table())
    }

    private func chosenMixes() throws -> [LoadMix] {
        let texts = self.mixes.isEmpty ? [self.subjects.userIds == nil ? "PING" : "TOPK"] : self.mixes
        return try texts.map { text throws(AnnexError) in try LoadMix(parsing: text) }
    }

    private func settings(rate: Double?) throws -> LoadSettings {
        var settings = LoadSettings()
        (settings.host, settings.port) = (self.host, self.port)
        settings.password = try self.passwordFile.map(Password.read)
        (settings.connections, settings.pipeline, settings.threads) = (self.connections, self.pipeline, self.threads)
        settings.rate = rate
        settings.warmup = .seconds(self.warmup)
        settings.duration = self.seconds.map { .seconds($0) } ?? (self.requests == nil ? .seconds(10) : nil)
        settings.requests = self.requests
        settings.timeout = .seconds(self.timeout)
        settings.seed = self.seed
        return settings
    }

    private func complain(_ runs: [LoadReport.Run]) throws {
        let results = runs.flatMap { [$0.result] + ($0.events.map { [$0] } ?? []) }
        let errors = results.reduce(0) { $0 + $1.errorCount }
        guard errors > 0, !self.allowErrors else { return }
        let all = results.reduce(0) { $0 + $1.requests }
        let first = results.lazy.compactMap { $0.errors.values.max { $0.count < $1.count } }.first
        throw AnnexError(
            .system,
            "\(errors) of \(all) replies were errors, such as '\(first?.example ?? "")'",
            at: "\(self.host):\(self.port)",
            hint: "Mend what it asks for, or give --allow-errors"
        )
    }
}

extension LoadReport {
    fileprivate init(_ command: BenchServerCommand, _ subjects: LoadRequests.Subjects, _ runs: [Run]) {
        (self.host, self.port) = (command.host, command.port)
        (self.connections, self.pipeline, self.threads) = (command.connections, command.pipeline, command.threads)
        (self.warmup, self.seed) = (command.warmup, command.seed)
        self.eventsPerSecond = command.eventsPerSecond
        self.eventConnections = command.eventsPerSecond == nil ? nil : command.eventConnections
        (self.users, self.items) = (subjects.users.count, subjects.items.count)
        (self.k, self.zipf) = (subjects.k, subjects.zipf)
        self.runs = runs
    }
}
