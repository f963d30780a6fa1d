import AnnexCore
import Foundation

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
