import AnnexCore
import AnnexEngine
import Synchronization

/// Holds the follower's figures for other threads: each is right as of some recent moment.
final class PublishedLog: Sendable {
    private let marks: Mutex<[LogMark]>
    private let state = Mutex<LogReport?>(nil)
    private let stale = Mutex<String?>(nil)
    private let unready = Mutex<String?>("the log was not reached yet")
    private let log = Mutex<(identity: LogIdentity?, isFollowing: Bool)>((nil, false))
    private let isStale = Atomic<Bool>(false)

    init(marks: [LogMark]) { self.marks = Mutex(marks) }

    /// Returns false where they are what they were.
    func set(_ fresh: [LogMark]) -> Bool {
        self.marks.withLock { marks in
            guard marks != fresh else { return false }
            marks = fresh
            return true
        }
    }

    func set(
        _ report: LogReport,
        staleness: String?,
        unreadiness: String?,
        identity: LogIdentity?,
        isFollowing: Bool
    ) {
        self.log.withLock { $0 = (identity, isFollowing) }
        self.unready.withLock { $0 = unreadiness }
        self.state.withLock { $0 = report }
        self.stale.withLock { $0 = staleness }
        self.isStale.store(staleness != nil, ordering: .releasing)
    }

    func position(_ block: Int) -> LogPosition { self.marks.withLock { $0[block].position } }

    /// One atomic load where it is nil.
    var staleness: String? { self.isStale.load(ordering: .acquiring) ? self.stale.withLock { $0 } : nil }

    /// Says which log is followed, and whether it is without a problem.
    var followed: (identity: LogIdentity?, isFollowing: Bool) { self.log.withLock { $0 } }

    var unreadiness: String? { self.unready.withLock { $0 } }
    var report: LogReport? { self.state.withLock { $0 } }
    var status: String { self.report?.status ?? "" }
}
