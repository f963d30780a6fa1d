import AnnexCore
import AnnexEngine

/// Says how a replica stands to its log at one moment.
struct LogStatus {
    private let phase: LogFollower.Machine.Phase
    private let stall: String?
    private let figures: ReplicationFigures
    private let pending: Int
    private let unapplied: Int
    private let passedOver: PassedOverEntries
    private let clockAhead: Int64?
    private let settings: LogSettings
    private let identity: LogIdentity?
    private let marks: [(block: Int, mark: LogMark)]
    /// Counts milliseconds; nil while it is followed.
    private let cutOff: Int64?
    /// Counts milliseconds. It is nil before it was caught up with for the first time.
    private let lag: Int64?

    init(
        _ machine: LogFollower.Machine,
        cutOffSince: Int64?,
        at now: Int64,
        passedOver: PassedOverEntries,
        clockAhead: Int64?,
        wants settings: LogSettings
    ) {
        self.phase = machine.phase
        self.stall = machine.stallReason
        self.figures = machine.figures
        self.pending = machine.pendingCount
        self.unapplied = machine.unappliedCount
        self.passedOver = passedOver
        self.settings = settings
        self.identity = machine.identity
        self.clockAhead = clockAhead
        self.marks = (0..<Slot.blockCount).map { ($0, machine.mark($0)) }.filter { $0.1 != .start }
        self.cutOff = cutOffSince.map { now - $0 }
        self.lag = machine.lag(at: now)
    }

    var isWell: Bool { self.phase == .following && self.stall == nil }

    /// Returns a sentence for the server's log, which changes when something has happened.
    var said: String {
        switch self.phase {
        case .cutOff(let reason): "Cut off from the log, events are refused: \(reason)"
        case .checking: "Reached the log"
        case .refusing(let problem): "Events are refused: \(problem)"
        case .following:
            self.stall.map { "Events are refused, as entries of the log cannot be stored: \($0)" }
                ?? "Following the log"
        }
    }

    private var name: String {
        switch self.phase {
        case .cutOff: "cut-off"
        case .checking: "checking"
        case .refusing: "refusing"
        case .following: self.stall == nil ? "following" : "stalled"
        }
    }

    private var problem: String? {
        switch self.phase {
        case .cutOff(let reason): reason
        case .checking: nil
        case .refusing(let problem): problem.text
        case .following: self.stall
        }
    }

    func report(_ now: Int64) -> LogReport {
        LogReport(
            status: self.name,
            problem: self.problem,
            identity: self.identity,
            figures: [
                ("lag_events", self.unapplied + self.figures.unread), ("lag_ms", self.lag.map { Int($0) } ?? -1),
                ("cut_off_ms", self.cutOff.map { Int($0) } ?? 0), ("appended", self.figures.appended),
                ("read", self.figures.read), ("applied", self.figures.applied),
                ("acknowledged", self.figures.acknowledged), ("refused", self.figures.refused),
                ("waiting", self.pending), ("expired", self.figures.expired),
                ("unknown_entries", self.passedOver.unknown), ("outside_limits", self.passedOver.outsideLimits),
                ("clock_ahead_ms", self.clockAhead.map { Int($0) } ?? 0), ("entries", self.figures.length),
                ("entries_warning", self.settings.lengthWarning), ("oldest_s", self.oldestSeconds),
                ("oldest_s_warning", self.settings.ageWarning), ("wants_trimming", self.wantsTrimming == nil ? 0 : 1),
            ],
            positions: self.marks.map { ($0.block, $0.mark.position) }
        )
    }

    /// Returns the age of the log's oldest entry, by the log's clock; 0 where there is none.
    private var oldestSeconds: Int {
        guard let oldest = self.figures.oldest else { return 0 }
        let now = WallClock.milliseconds() + (self.clockAhead ?? 0)
        return Int(max(0, now - Int64(clamping: oldest)) / 1_000)
    }

    /// Says why the log should be trimmed. It is nil where it need not be.
    var wantsTrimming: String? {
        if self.figures.length >= self.settings.lengthWarning {
            return "it has \(self.figures.length) entries, from \(self.settings.lengthWarning) on is too many. "
                + "Run annctl trim-log with the backups that are kept"
        }
        guard self.oldestSeconds >= self.settings.ageWarning else { return nil }
        return
            "its oldest entry is \(self.oldestSeconds / 86_400) days old, from \(self.settings.ageWarning / 86_400) on is too "
            + "old. Run annctl trim-log with the backups that are kept"
    }

    /// Returns why this replica should not be asked; nil where it should.
    func unreadiness(_ maximumLag: Int64?) -> String? {
        if let staleness = self.staleness(maximumLag) { return staleness }
        guard self.lag == nil else { return nil }
        let missing = self.unapplied + self.figures.unread
        let why = self.problem.map { ": \($0)" } ?? ""
        return "\(missing) entries of the log are known and not applied\(why)"
    }

    /// Returns why reads of users are not answered; nil while they are.
    func staleness(_ maximumLag: Int64?) -> String? {
        guard let maximumLag, (self.lag ?? .max) > maximumLag else { return nil }
        let since = self.lag.map { "for \($0 / 1_000) s" } ?? "since it started"
        let why = self.problem.map { ": \($0)" } ?? ""
        return "this replica does not know \(since) whether it has all events\(why). Ask another replica"
    }
}
