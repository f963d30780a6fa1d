import AnnexClient
import AnnexCore
import AnnexNode
import AnnexWire
import ArgumentParser

struct QueryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query",
        abstract: "Ask a running server; print the answer as a table.",
        discussion: """
            The words behind the options are sent as one command, as they stand:

              annctl query TOPK faiss 10 WITHSCORES
              annctl query VSIM debian ELE python3-numpy COUNT 5
            """
    )

    @Option(help: "Address of the server.") var host = "127.0.0.1"
    @Option(help: "Port of the server.") var port = 7700
    @Option(help: ArgumentHelp("File whose first line is the password.", valueName: "file")) var passwordFile: String?
    @Option(
        help: ArgumentHelp(
            "Ask again for so long while the server cannot be reached or answers LOADING, as in --wait 600 READY.",
            valueName: "seconds"
        )
    )
    var wait = 0
    @Flag(help: "Print JSON.") var json = false
    @Flag(help: "Print tab-separated values without headings.") var tsv = false
    @Argument(parsing: .allUnrecognized, help: "The command and its arguments.") var command: [String]

    func validate() throws {
        guard (1...65_535).contains(self.port) else { throw ValidationError("--port is 1 to 65535, got \(self.port)") }
        guard (0...86_400).contains(self.wait) else {
            throw ValidationError("--wait is 0 to 86400 seconds, got \(self.wait)")
        }
        guard !(self.json && self.tsv) else { throw ValidationError("Give --json or --tsv, not both") }
        guard !self.command.isEmpty else { throw ValidationError("Which command? Try: annctl query PING") }
    }

    func run() async throws {
        let end = ContinuousClock.now + .seconds(self.wait)
        while true {
            do { return try await self.printAnswer(until: self.wait > 0 ? end : nil) } catch let error as NotYet {
                guard ContinuousClock.now < end else { throw error.cause }
                try await Task.sleep(for: .milliseconds(200))
            }
        }
    }

    /// What another try may change: nobody listens yet, or the server is not to be asked yet.
    private struct NotYet: Error { let cause: any Error }

    /// - Parameter end: where there is no reply by then, that is an error; nil: the reply may take as long as it takes.
    private func printAnswer(until end: ContinuousClock.Instant?) async throws {
        var settings = RESPSettings(host: self.host, port: self.port)
        var hello = ["HELLO", "3"]
        if let passwordFile { hello += ["AUTH", "default", try Password.read(passwordFile)] }
        settings.greeting = [hello.map { Array($0.utf8) }]
        settings.limits = .anything
        let reply = try await RESPClient.with(settings) { failure in
            failure.kind == .unreachable ? NotYet(cause: failure.error) as any Error : failure.error
        } _: { client in
            try await self.ask(client, within: end.map { max(.seconds(1), $0 - .now) })
        }
        if self.json {
            print(try ReplyRendering.json(reply))
        } else {
            print(self.tsv ? ReplyRendering.tsv(self.command, reply) : ReplyRendering.table(self.command, reply))
        }
    }

    private func ask(_ client: RESPClient, within patience: Duration?) async throws -> ReplyValue {
        let reply = try await client.send(self.command.map { Array($0.utf8) }, within: patience)
        guard case .error(let text) = reply else { return reply }
        let error = AnnexError(.system, Printable.escape(text, limit: 1024))
        throw ErrorCode(of: text) == .loading ? NotYet(cause: error) : error
    }
}
