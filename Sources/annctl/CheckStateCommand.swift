import AnnexCore
import AnnexStore
import ArgumentParser
import Foundation
import Glibc

struct CheckStateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check-state",
        abstract: "Read every page and record of a state that no server has open.",
        discussion:
            "Changes nothing. `serve` has a process of its own walk the pages before it opens a state, and reads the "
            + "records while it serves."
    )

    @Argument(help: ArgumentHelp("The state's folder.", valueName: "STATE/NAME")) var folder: String

    @Flag(help: .hidden) var endsWithInput = false

    /// The lock is held by whoever started this.
    @Flag(help: .hidden) var onlyPages = false

    func run() throws {
        if self.endsWithInput { Self.endWithInput() }
        if self.onlyPages { return try StateStore.checkPages(self.folder) }
        let found = try StateStore.inspect(self.folder)
        print("\(self.folder): \(StateSummary.line(found))")
    }
}

extension CheckStateCommand {
    /// Ends the process when whoever started it has gone, so that no check outlives what it is for.
    fileprivate static func endWithInput() {
        let thread = Thread {
            while let bytes = try? FileHandle.standardInput.read(upToCount: 1), !bytes.isEmpty {}
            _exit(1)
        }
        thread.start()
    }
}

/// A look at a state by a process of its own: some damage ends the process that reads it.
enum StatePreflight {
    /// Reads every page and record of a state that nobody has open. Blocks; O(bytes of the state).
    ///
    /// - Throws: what the check said, or `.damaged` where it did not live to say anything.
    static func check(_ folder: String) throws {
        guard FileManager.default.fileExists(atPath: folder + "/state.lmdb") else { return }
        try Self.run([], folder)
    }

    /// Walks the pages, for whoever holds the lock: the check takes none, so that none is held when both are killed. Blocks;
    /// O(pages of the state).
    static func checkPages(_ folder: String) throws { try Self.run(["--only-pages"], folder) }

    private static func run(_ options: [String], _ folder: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = ["check-state", "--ends-with-input"] + options + [folder]
        let said = Pipe()
        process.standardOutput = FileHandle.nullDevice
        process.standardError = said
        // Held open until this process ends, in whatever way.
        let alive = Pipe()
        process.standardInput = alive
        defer { withExtendedLifetime(alive) {} }
        try process.run()
        let text = String(decoding: said.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        if process.terminationReason == .uncaughtSignal {
            let signal = process.terminationStatus
            throw AnnexError(
                .damaged,
                "the state cannot be read: signal \(signal) ended the check",
                at: folder,
                hint: "Restore it from a copy, or move the folder away to begin with an empty state"
            )
        }
        guard process.terminationStatus != 0 else { return }
        let reason = text.split(separator: "\n").last.map(String.init) ?? "no reason given"
        throw AnnexError(
            .damaged,
            "the state was refused: " + (reason.hasPrefix("annctl: ") ? String(reason.dropFirst(8)) : reason),
            at: folder
        )
    }
}
