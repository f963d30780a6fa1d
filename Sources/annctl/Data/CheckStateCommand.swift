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
