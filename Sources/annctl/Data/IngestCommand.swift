import AnnexCore
import AnnexFormats
import AnnexNode
import AnnexTools
import ArgumentParser
import Foundation

struct IngestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ingest",
        abstract: "Send a file of events to a running server that keeps a state.",
        discussion: """
            Each line is an EVENT: user, item, weight (1 where it is left out) and time, in milliseconds since 1970, as TSV, \
            CSV, or JSON objects {"user": …, "item": …, "weight": …, "time": …}, gzipped or not. A heading is passed over where \
            it names its columns (user_id, item_id, …); one whose third column is time or timestamp has the weight behind it. \
            A blank field is no number. Quotes count where a field begins with one, as in Python's csv module. --columns says what \
            the columns are where no heading does: user,item,time. Times in seconds or microseconds are refused.

            An event counts by user, item and time: the same again replaces the weight, so sending a line twice does no harm. \
            The server does not say which events were new. Lines of one user keep their order.

            Lines without a time get the time of the run's start, or --at, and a millisecond more for each earlier such line \
            of the same user (or of one of the few whose ids share a counter), so that none replaces another. The progress \
            file remembers that time, and a second run sends the same.

            What is acknowledged is kept in FILE.progress: the same command again goes on from there, after a failure, an \
            interrupt or a crash. Malformed lines, unknown items, and weights and times that the server calls invalid go to \
            FILE.rejects.tsv, with line number and reason; `tail -n +2 FILE.rejects.tsv | cut -f 3-` is the lines as they \
            were. Whatever else the server says is tried again for --patience seconds, on a new connection where the old one \
            broke.

              annctl ingest events.tsv.gz --index shop
              annctl ingest events.jsonl --at 1700000000000 --max-rejects 100
            """
    )

    @Argument(help: "File of events.") var file: String
    @Option(help: "Address of the server.") var host = "127.0.0.1"
    @Option(help: "Port of the server.") var port = 7700
    @Option(help: "Name of the index. (default: the only one served)") var index: String?
    @Option(help: ArgumentHelp("File whose first line is the password.", valueName: "file")) var passwordFile: String?
    @Option(help: "Connections. The server flushes once for all events that wait.") var connections = 64
    @Option(help: "Events that a connection may wait for at a time.") var pipeline = 16
    @Option(help: "How lines are read: tsv, csv or jsonl. (default: by the file's ending)") var format:
        EventLines.Format?
    @Option(
        help: ArgumentHelp(
            "What the columns of TSV and CSV are: user, item, weight and time in the order of the file, - for one to pass over. "
                + "(default: by the heading; without one user,item,weight,time)",
            valueName: "user,item,…"
        )
    ) var columns: String?
    @Option(help: ArgumentHelp("Time of lines without one, since 1970. (default: now)", valueName: "ms")) var at: Int64?
    @Option(help: ArgumentHelp("Where to keep how far it came. (default: FILE.progress)", valueName: "file"))
    var progress: String?
    @Option(help: ArgumentHelp("Where lines go that cannot be sent. (default: FILE.rejects.tsv)", valueName: "file"))
    var rejects: String?
    @Option(help: ArgumentHelp("Fail where more lines than this are rejected. (default: any number)", valueName: "n"))
    var maxRejects: Int?
    @Option(help: ArgumentHelp("How long to try again what the server does not take.", valueName: "seconds"))
    var patience = 30.0

    func validate() throws {
        guard (1...65_535).contains(self.port) else { throw ValidationError("--port is 1 to 65535, got \(self.port)") }
        guard (1...10_000).contains(self.connections) else { throw ValidationError("--connections is 1 to 10000") }
        guard (1...1_000).contains(self.pipeline) else { throw ValidationError("--pipeline is 1 to 1000") }
        if let at, let problem = EventTime.problem(at) { throw ValidationError("--at \(at) \(problem)") }
        guard self.maxRejects.map({ $0 >= 0 }) ?? true else { throw ValidationError("--max-rejects is 0 or more") }
        guard (0...86_400).contains(self.patience) else { throw ValidationError("--patience is 0 to 86400") }
        guard self.index.map({ EntryName($0) != nil }) ?? true else {
            throw ValidationError("--index is no index name: [A-Za-z0-9][A-Za-z0-9._-]{0,63}")
        }
        let paths = [self.file, self.progressFile, self.rejectsFile].map {
            URL(fileURLWithPath: $0).resolvingSymlinksInPath().path
        }
        guard Set(paths).count == paths.count else {
            throw ValidationError("The file, --progress and --rejects are three files")
        }
    }

    private var progressFile: String { self.progress ?? self.file + ".progress" }
    private var rejectsFile: String { self.rejects ?? self.file + ".rejects.tsv" }

    func run() async throws {
        let columns = try self.columns.map { try InteractionColumns(parsing: $0) }
        let lines = try EventLines(self.file, format: self.format, columns: columns)
        let earlier = try IngestProgress.read(self.progressFile)
        if let at, let earlier, earlier.at != at {
            let hint = "Leave --at out to go on, or remove the progress file to send all lines again"
            throw AnnexError(.usage, "the earlier run had --at \(earlier.at)", at: self.progressFile, hint: hint)
        }
        let settings = try self.settings()
        let begin = try await self.begin(Self.reading(lines.format, columns), settings, earlier)
        if let earlier { try earlier.check(against: begin, at: self.progressFile) }
        let progress = earlier ?? begin
        if progress.isFinished { return try self.sayFinished(progress) }
        let rejects = try IngestRejects(self.rejectsFile, keeping: progress.rejectsBytes)
        let display = IngestDisplay(self.file, progress)
        let run = IngestRun(settings, from: progress, source: EventSource(lines), rejects: rejects) { display.show($0) }
        let signals = StoppingSignals { run.stop("stopped by \($0)") }
        let result = await run.run()
        signals.end()
        display.end()
        print(IngestSummary(self.file, self.rejectsFile, from: progress.lines, result).text)
        guard let failure = result.failure else { return try self.checkRejects(result.progress) }
        let hint = [failure.hint, "The same command again goes on behind line \(result.progress.lines)"].compactMap(
            \.self
        )
        throw AnnexError(failure.code, failure.message, at: failure.location, hint: hint.joined(separator: ". "))
    }

    /// How lines are read, for the progress file: the same file read otherwise is other events.
    private static func reading(_ format: EventLines.Format, _ columns: InteractionColumns?) -> String {
        format.rawValue + (columns.map { " \($0.text)" } ?? "")
    }

    private func settings() throws -> IngestSettings {
        var settings = IngestSettings(progressFile: self.progressFile)
        (settings.host, settings.port, settings.connections) = (self.host, self.port, self.connections)
        settings.pipeline = self.pipeline
        settings.password = try self.passwordFile.map(Password.read)
        settings.patience = .seconds(self.patience)
        settings.maximumRejects = self.maxRejects
        return settings
    }

    /// The progress of a run over this file from its first line on. Asks the server for the index.
    private func begin(_ format: String, _ settings: IngestSettings, _ earlier: IngestProgress?) async throws
        -> IngestProgress
    {
        let address = "\(self.host):\(self.port)"
        let index = try await ServedIndexes.choose(
            self.index,
            host: self.host,
            port: self.port,
            password: settings.password
        )
        return IngestProgress(
            input: try IngestProgress.input(self.file),
            format: format,
            server: address,
            index: String(decoding: index, as: UTF8.self),
            at: self.at ?? earlier?.at ?? Int64(Date().timeIntervalSince1970 * 1_000)
        )
    }

    private func sayFinished(_ progress: IngestProgress) throws {
        print(
            "\(self.file): all \(progress.lines) lines are done already: \(progress.acknowledged) events acknowledged, "
                + "\(progress.rejected) lines rejected. Remove \(self.progressFile) to send them again"
        )
        try self.checkRejects(progress)
    }

    private func checkRejects(_ progress: IngestProgress) throws(AnnexError) {
        guard let maxRejects, progress.rejected > maxRejects else { return }
        let message = "\(progress.rejected) lines were rejected, more than \(maxRejects)"
        throw AnnexError(.limit, message, at: self.rejectsFile, hint: "Allow more with --max-rejects")
    }
}

extension EventLines.Format: ExpressibleByArgument {}

/// Lines of a file as what is sent.
private final class EventSource: IngestSource {
    private let lines: EventLines

    init(_ lines: EventLines) { self.lines = lines }

    func next() throws(AnnexError) -> IngestLine? {
        guard let line = try self.lines.next() else { return nil }
        let content: IngestLine.Content =
            switch line.content {
            case .event(let entry):
                .event(IngestEvent(user: entry.user, item: entry.item, weight: entry.weight, time: entry.time))
            case .problem(let reason): .problem(reason)
            case .nothing: .nothing
            }
        return IngestLine(text: line.text, content: content)
    }

    func fractionRead() throws(AnnexError) -> Double { try self.lines.fractionRead() }
}
