import AnnexLinearAlgebra
import AnnexStore
import Synchronization

/// Reports figures of an index's state, each right at some moment of late.
package struct StateReport: Sendable {
    /// One of `running`, `full` and `failed` stands here.
    package let status: String
    /// Says why changes are refused, or what is wrong with the clock. It is nil while nothing is wrong.
    package let problem: String?
    /// Names and values, as INFO shows them.
    package let figures: [(name: String, value: Int)]
}

extension ServedVersion {
    /// It is nil where no state is kept.
    package var stateReport: StateReport? {
        guard let state else { return nil }
        let counts = state.counts
        let (status, problem): (String, String?) =
            switch state.status {
            case .running: ("running", state.clockProblem)
            case .full(let error): ("full", "\(error)")
            case .failed(let error): ("failed", "\(error)")
            }
        return StateReport(
            status: status,
            problem: problem,
            figures: [
                ("events", counts.events), ("users", counts.users), ("waiting", counts.waiting),
                ("commits", counts.commits), ("changes", counts.changes),
                ("last_commit_usec", counts.lastCommitMicroseconds), ("file_bytes", counts.fileBytes),
                ("map_bytes", counts.mapBytes), ("lost", counts.lost), ("damaged_records", counts.damagedRecords),
                ("damaged_found", counts.damagedFound), ("checked_records", counts.checkedRecords),
                ("is_checked", counts.isChecked ? 1 : 0), ("walked_records", counts.walkedRecords),
                ("clock_behind_msec", counts.clockBehindMillis),
                ("growths", counts.growths), ("longest_pause_usec", counts.longestPauseMicroseconds),
            ]
        )
    }

    /// Names how users' vectors follow from histories: `als`, `ridge` or `none`.
    package var foldInName: String { self.description.foldIn?.name ?? "none" }

    /// Counts vectors that were solved for in this version while serving, and says how long that took in all.
    package var solved: (count: Int, nanos: Int) { self.users.solves.totals }

    /// Events that were too heavy for this version's alpha when their user was resolved; each counts whenever that happens.
    package var weightsLeftOut: Int { self.users.solves.weightsLeftOut }

    /// Returns the bytes that the caches of this version hold, and the most that they may: names and values, as INFO
    /// shows them.
    package var cacheFigures: [(name: String, value: Int)] {
        let contexts = self.contexts.count.load(ordering: .relaxed)
        return [
            ("user_cache_bytes", self.users.resolved.byteCount), ("user_cache_limit", self.users.resolved.limitBytes),
            ("history_cache_bytes", self.users.incremental.byteCount),
            ("history_cache_limit", self.users.incremental.limitBytes), ("contexts", contexts),
            ("context_limit", contexts * QueryContext.mostBytes(self.description)),
        ]
    }
}
