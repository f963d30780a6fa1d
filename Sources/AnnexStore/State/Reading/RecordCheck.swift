import AnnexCore
import CLMDB
import Dispatch
import Glibc
import Synchronization

/// Reads every record of a store while it is served: counts those that are damaged, and makes the index of events right.
///
/// Pages are walked before a store is opened, so that reading is safe; records carry checksums, so that each is looked at
/// when it is read. What is left is to say how many are damaged, and to compare the index with the events, as after an
/// upgrade from format 1, which has none. Some 0.5 µs a record, on one thread of low priority, in scopes of some
/// thousand records.
struct RecordCheck {
    /// A tenth of what another thread gets, so that the check ends on a busy machine too.
    private static let niceness: Int32 = 10
    private static let recordsPerScope = 2_000
    /// Entries of one change of the index.
    private static let entriesPerChange = 500

    private let shared: StateShared
    private var repairedUsers = 0

    init(_ shared: StateShared) { self.shared = shared }

    /// Returns when all is read, or when the store closes. Blocks.
    mutating func run() {
        // On Linux this holds for the thread alone. Where it fails, the check only competes more with other threads.
        _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.niceness)
        do throws(AnnexError) {
            let reader = try StateReader(self.shared)
            guard try self.checkEvents(reader) else { return }
            for table in [StateSchema.removed, StateSchema.forgotten, StateSchema.users] {
                guard try self.checkTable(table, reader) else { return }
            }
        } catch {
            let problem = AnnexError(error.code, error.message, at: error.location, hint: StateAdvice.damaged)
            self.shared.status = .failed(problem)
            return self.shared.settings.notice("The records of the state cannot be read: \(problem)")
        }
        self.shared.isChecked.store(true, ordering: .sequentiallyConsistent)
        let damaged = self.shared.damagedFound.load(ordering: .relaxed)
        if damaged > 0 {
            let advice = "restore the state from a backup to have them again"
            self.shared.settings.notice("\(damaged) records of the state are damaged and are skipped: \(advice)")
        }
        if self.repairedUsers > 0 {
            self.shared.settings.notice("The index of events was repaired for \(self.repairedUsers) users")
        }
    }

    private var isOver: Bool { self.shared.isClosing.load(ordering: .relaxed) }

    private func count(_ found: StateReader.Checked) {
        self.shared.checkedRecords.wrappingAdd(found.records, ordering: .relaxed)
        self.shared.damagedFound.wrappingAdd(found.damaged, ordering: .relaxed)
    }

    /// Returns false where the store closed meanwhile.
    private func checkTable(_ table: String, _ reader: StateReader) throws(AnnexError) -> Bool {
        var last: [UInt8]?
        repeat {
            if self.isOver { return false }
            let found = try reader.checkTable(table, after: last, records: Self.recordsPerScope)
            self.count(found)
            last = found.last
        } while last != nil
        return true
    }

    private mutating func checkEvents(_ reader: StateReader) throws(AnnexError) -> Bool {
        var last: [UInt8]?
        repeat {
            if self.isOver { return false }
            let found = try reader.checkEvents(after: last, records: Self.recordsPerScope)
            self.count(found)
            for user in found.users { guard try self.repair(user, reader) else { return false } }
            last = found.last
        } while last != nil
        return true
    }

    /// Makes the index of a user's events right. False where the store closed meanwhile, or takes no changes.
    private mutating func repair(_ user: [UInt8], _ reader: StateReader) throws(AnnexError) -> Bool {
        guard let id = Identifier(user) else { return true }
        self.repairedUsers += 1
        while true {
            let wrong = try reader.wrongEntries(of: user, part: Self.entriesPerChange)
            if wrong.parts.isEmpty { return true }
            for part in wrong.parts { guard !self.isOver, self.apply(id, part) else { return false } }
        }
    }

    private func apply(_ user: Identifier, _ entries: [[UInt8]]) -> Bool {
        let answer = RepairAnswer()
        let work = StateQueue.Work.repairIndex(user, entries) { answer.set($0) }
        guard self.shared.queue.put([StateQueue.Waiting(work)]) == nil else { return false }
        return answer.wait()
    }
}

/// The writer's answer to one repair of the index.
private final class RepairAnswer: Sendable {
    private let isRepaired = Atomic<Bool>(false)
    private let isThere = DispatchSemaphore(value: 0)

    func set(_ result: Result<Void, AnnexError>) {
        if case .success = result { self.isRepaired.store(true, ordering: .sequentiallyConsistent) }
        self.isThere.signal()
    }

    func wait() -> Bool {
        self.isThere.wait()
        return self.isRepaired.load(ordering: .sequentiallyConsistent)
    }
}
