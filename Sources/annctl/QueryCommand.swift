import AnnexCore
import AnnexNetwork
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
    @Flag(help: "Print JSON.") var json = false
    @Flag(help: "Print tab-separated values without headings.") var tsv = false
    @Argument(parsing: .allUnrecognized, help: "The command and its arguments.") var command: [String]

    func validate() throws {
        guard (1...65_535).contains(self.port) else { throw ValidationError("--port is 1 to 65535, got \(self.port)") }
        guard !(self.json && self.tsv) else { throw ValidationError("Give --json or --tsv, not both") }
        guard !self.command.isEmpty else { throw ValidationError("Which command? Try: annctl query PING") }
    }

    func run() async throws {
        let client = try await LineClient.connect(host: self.host, port: self.port)
        let outcome = await self.ask(client)
        await client.close()
        try outcome.get()
    }

    private func ask(_ client: LineClient) async -> Result<Void, any Error> {
        do {
            var hello = ["HELLO", "3"]
            if let passwordFile { hello += ["AUTH", "default", try Password.read(passwordFile)] }
            if case .error(let text) = try await client.send(hello.map { Array($0.utf8) }) {
                throw AnnexError(.system, text, at: "\(self.host):\(self.port)")
            }
            let reply = try await client.send(self.command.map { Array($0.utf8) })
            if case .error(let text) = reply { throw AnnexError(.system, Printable.escape(text, limit: 1024)) }
            if self.json {
                print(try ReplyRendering.json(reply))
            } else {
                print(self.tsv ? ReplyRendering.tsv(self.command, reply) : ReplyRendering.table(self.command, reply))
            }
            return .success(())
        } catch {
            return .failure(error)
        }
    }
}
