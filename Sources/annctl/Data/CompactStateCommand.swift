import AnnexBuild
import AnnexCore
import AnnexStore
import ArgumentParser

struct CompactStateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact-state",
        abstract: "Make a state smaller that no server has open.",
        discussion: """
            Of the events at or before a time, one of each user and item stays, with the newest time and the sum of the weights. \
            With --index that time is the earliest up to which the histories of the versions on the disk go, and events go whose \
            items all these histories have. What it changes for SEEN, EVENT.DEL, rollback and backups is told in docs/state.md. \
            The new file takes the place of the old one in one step; it needs space for both.
            """
    )

    @Argument(help: ArgumentHelp("The state's folder.", valueName: "STATE/NAME")) var folder: String
    @Option(help: ArgumentHelp("Milliseconds since 1970.", valueName: "ms")) var until: Int64?
    @Option(
        help: ArgumentHelp("The index that the state is of; its versions say up to when.", valueName: "indexes/NAME")
    )
    var index: String?

    func validate() throws {
        guard (self.until == nil) != (self.index == nil) else {
            throw ValidationError("Give --until MS, or --index indexes/NAME to take the time from its versions")
        }
        if let until, let problem = EventTime.problem(until) { throw ValidationError("--until \(until): \(problem)") }
    }

    func run() throws {
        let found: StateCompaction
        if let index {
            let histories = try KeptHistories(of: index)
            guard let cut = histories.cut else {
                throw AnnexError(
                    .usage,
                    "no version has trained histories, so that none says up to when events may be compacted",
                    at: index,
                    hint: "Give --until MS in place of --index"
                )
            }
            found = try StateStore.compact(self.folder, until: cut) { user, item in histories.hold(user, item) }
        } else {
            found = try StateStore.compact(self.folder, until: self.until ?? Int64.min)
        }
        print(
            "\(self.folder): \(found.eventsBefore) events of \(found.usersBefore) users became \(found.eventsAfter) of "
                + "\(found.usersAfter), \(found.bytesBefore) bytes became \(found.bytesAfter)"
        )
        print(
            "\(found.folded) went into others of the same user and item, \(found.pruned) are in trained histories, "
                + "\(found.damagedRecords) damaged records stay"
        )
    }
}
