import AnnexCore
import AnnexStore
import ArgumentParser
import Foundation

struct BackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Copy a state into one file, while a server writes it or not.",
        discussion: """
            The file holds all that was durable at one moment, up to where which log was applied then, and whose slots: with \
            the rest of that log it becomes what the server has (see `restore`). Run it on the server's machine, in the same \
            container, as the same user. The copy is read back before it gets its name. With --into it is named by the time, \
            as in shop-20261125T120000Z.backup, and --keep-hours removes what is older.
            """
    )

    @Argument(help: ArgumentHelp("The state's folder.", valueName: "STATE/NAME")) var folder: String
    @Option(help: ArgumentHelp("The file to make; it must not exist.", valueName: "file")) var output: String?
    @Option(help: ArgumentHelp("Or the folder for it; made where it is not there.", valueName: "folder")) var into:
        String?
    @Option(
        help: ArgumentHelp(
            "Once the backup is made, remove those of this index in --into that are older; the newest stays.",
            valueName: "hours"
        )
    )
    var keepHours: Int?

    func validate() throws {
        guard (self.output == nil) != (self.into == nil) else {
            throw ValidationError("Give --output FILE, or --into FOLDER")
        }
        guard self.keepHours == nil || self.into != nil else {
            throw ValidationError("--keep-hours needs --into FOLDER")
        }
        guard self.keepHours.map({ (1...87_600).contains($0) }) ?? true else {
            throw ValidationError("--keep-hours is 1 to 87600")
        }
    }

    func run() throws {
        guard let into else { return try self.copy(to: self.output ?? "") }
        let index = URL(fileURLWithPath: self.folder).lastPathComponent
        let backups = BackupFolder(path: into)
        try backups.make()
        try self.copy(to: backups.file(of: index))
        guard let keepHours else { return }
        for path in try backups.prune(index, olderThanHours: keepHours) {
            print("\(path): removed, older than \(keepHours) h")
        }
    }

    private func copy(to output: String) throws {
        let temporary = try TemporaryState(beside: output)
        defer { temporary.remove() }
        guard !FileManager.default.fileExists(atPath: output) else {
            throw AnnexError(.usage, "exists already", at: output, hint: "Give another --output")
        }
        try StateBackup.copy(self.folder, to: temporary.file)
        let found = try temporary.inspect()
        try temporary.give(fileAs: output)
        print("\(output): \(StateSummary.line(found))")
        print("log: \(StateSummary.positions(found))")
    }
}

struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Make a state out of a backup, for a server to start with.",
        discussion: """
            The file is read page by page before anything gets a name. A state that is there is never overwritten. With \
            --log the server then reads what the log has behind the backup.
            """
    )

    @Argument(help: ArgumentHelp("What `annctl backup` made.", valueName: "file")) var file: String
    @Option(help: ArgumentHelp("The state's folder; it must not exist.", valueName: "STATE/NAME")) var state: String
    @Flag(
        help: """
            Begin at the first entry of the log, for a log that is new and empty. Only where the log was lost: then for all \
            replicas, from the same file.
            """
    ) var newLog = false

    func run() throws {
        guard !FileManager.default.fileExists(atPath: self.state) else {
            throw AnnexError(.usage, "exists already", at: self.state, hint: "Move it away, or give another --state")
        }
        guard FileManager.default.fileExists(atPath: self.file) else {
            throw AnnexError(.notFound, "there is no such file", at: self.file)
        }
        let parent = URL(fileURLWithPath: self.state).deletingLastPathComponent().path
        do { try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true) } catch {
            throw AnnexError(.system, "cannot make the folder: \(error.localizedDescription)", at: parent)
        }
        let temporary = try TemporaryState(beside: self.state)
        defer { temporary.remove() }
        do { try FileManager.default.copyItem(atPath: self.file, toPath: temporary.file) } catch {
            throw AnnexError(.system, "cannot copy: \(error.localizedDescription)", at: self.file)
        }
        var found = try temporary.inspect()
        if self.newLog {
            try StateBackup.forgetPositions(temporary.folder)
            found = try temporary.inspect()
        }
        try temporary.give(folderAs: self.state)
        print("\(self.state): \(StateSummary.line(found))")
        print("log: \(StateSummary.positions(found))")
    }
}
