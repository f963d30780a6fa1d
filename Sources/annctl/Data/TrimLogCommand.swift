import AnnexClient
import AnnexCore
import AnnexLog
import AnnexStore
import AnnexWire
import ArgumentParser
import Foundation
import NIOCore

struct TrimLogCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trim-log",
        abstract: "Remove from the log what lies behind the oldest of the backups that are kept.",
        discussion: """
            Give every backup that is to stay of use, of all shards: each says whose slots it has. What a stream has before the \
            oldest of those with its slots goes; a stream of which one of them has nothing stays whole, and so does one whose \
            slots no backup has. A replica that is farther behind must be restored. Where nothing could be trimmed, that is an \
            error.
            """
    )

    @Argument(help: ArgumentHelp("The index's name.", valueName: "name")) var index: String
    @Argument(help: ArgumentHelp("Backups that are kept, or folders of them (`backup --into`).", valueName: "file"))
    var backups: [String]
    @Option(help: ArgumentHelp("Where the log is.", valueName: "url")) var log: String
    @Option(help: ArgumentHelp("File whose first line is the log's password.", valueName: "file"))
    var logPasswordFile: String?
    @Option(
        help: ArgumentHelp(
            "Only streams of these slots, as 0-8191; they are also those of backups that do not say theirs.",
            valueName: "slots"
        )
    )
    var slots = "0-16383"
    @Flag(help: "Say what would go, and remove nothing.") var dryRun = false

    func run() async throws {
        guard let name = EntryName(self.index) else {
            let hint = "Names are of [A-Za-z0-9][A-Za-z0-9._-]{0,63}"
            throw AnnexError(.usage, "'\(Printable.escape(self.index))' is no index name", hint: hint)
        }
        guard let slots = SlotSet(parsing: self.slots) else {
            throw AnnexError(.usage, "--slots '\(Printable.escape(self.slots))': give slots and ranges, as 0-8191,9000")
        }
        let address = try LogPassword.address(self.log, passwordFile: self.logPasswordFile)
        if LogPassword.isExposed(self.log) { FileHandle.standardError.write(Data((LogPassword.warning + "\n").utf8)) }
        let snapshots = try Self.files(self.backups, of: name).map { try Self.snapshot($0) }
        let trimming = LogTrimming(index: name, prefix: address.prefix, snapshots: snapshots, slots: slots)
        guard !trimming.steps.isEmpty else {
            let reasons = Self.words(trimming.untouched)
            throw AnnexError(.usage, "nothing was removed: \(reasons.isEmpty ? "no stream lies in --slots" : reasons)")
        }
        try await RESPClient.with(address.connection(timeout: .seconds(5))) { client in
            try await self.trim(trimming, address, client)
        }
    }

    /// A folder stands for the backups of the index in it.
    private static func files(_ paths: [String], of index: EntryName) throws -> [String] {
        try paths.flatMap { path in
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
                return [path]
            }
            let files = try BackupFolder(path: path).files(of: index.value)
            guard !files.isEmpty else {
                throw AnnexError(
                    .notFound,
                    "has no backup of '\(index)', so that nothing is known of that shard; nothing was removed",
                    at: path,
                    hint: "Make one with `annctl backup STATE/\(index) --into \(path)`"
                )
            }
            return files
        }
    }

    /// Returns what a backup says of the log; all of it is read first.
    private static func snapshot(_ path: String) throws -> LogSnapshot {
        let temporary = try TemporaryState(copying: path)
        defer { temporary.remove() }
        let found = try temporary.inspect()
        return LogSnapshot(name: path, marks: found.marks, slots: found.log.slots, identity: found.log.id)
    }

    /// Puts streams with the same reason together.
    private static func words(_ streams: [LogTrimming.Whole]) -> String {
        var reasons: [(reason: String, blocks: [String])] = []
        for stream in streams {
            let block = "\(stream.block < 10 ? "0" : "")\(stream.block)"
            if let index = reasons.firstIndex(where: { $0.reason == stream.reason }) {
                reasons[index].blocks.append(block)
            } else {
                reasons.append((stream.reason, [block]))
            }
        }
        return reasons.map { "stream \($0.blocks.joined(separator: " ")) stays whole, \($0.reason)" }
            .joined(separator: "; ")
    }

    /// The log's time for one answer: XTRIM of some million entries takes seconds.
    private static let patience = Duration.seconds(60)

    private func trim(_ trimming: LogTrimming, _ address: LogAddress, _ client: RESPClient) async throws {
        if let refusal = trimming.refusal(
            identity: try await client.send(trimming.askIdentity, within: Self.patience)
        ) {
            throw AnnexError(.usage, "nothing was removed: \(refusal)", at: "\(address)")
        }
        // All are looked at before one is touched.
        for step in trimming.steps {
            let commands = trimming.check(step)
            let info = try await client.send(commands[0], within: Self.patience)
            let range = try await client.send(commands[1], within: Self.patience)
            if let refusal = trimming.refusal(step, info, range) {
                throw AnnexError(.usage, "nothing was removed: \(refusal)", at: "\(address)")
            }
        }
        for step in trimming.steps {
            let name = "\(self.index):\(step.block < 10 ? "0" : "")\(step.block)"
            if self.dryRun {
                print("\(name): would go up to \(step.mark.position)")
                continue
            }
            guard case .integer(let gone) = try await client.send(trimming.trim(step), within: Self.patience) else {
                let hint = "May the log's user run XTRIM? See ACL WHOAMI and ACL LIST there"
                throw AnnexError(.system, "XTRIM was refused for \(name)", at: "\(address)", hint: hint)
            }
            print("\(name): \(gone) entries before \(step.mark.position) removed")
        }
        if !trimming.untouched.isEmpty { print(Self.words(trimming.untouched)) }
    }
}
