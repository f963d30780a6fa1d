import AnnexCore
import CLMDB
import Glibc
import Synchronization

/// Handles a disk without space, a map without room, and errors.
extension StateWriter {
    private static let spaceCheckInterval = Duration.milliseconds(100)
    private static let growthLimit = Duration.seconds(10)
    private static let copyPoll: Duration = .milliseconds(5)

    /// Sets the store's status after a failure, and gives the error for the changes that met it.
    func concluded(_ met: LMDBFailure) -> AnnexError {
        let hasPanicked = self.shared.environment.file.hasPanicked
        var failure = met
        // LMDB's word for a write that was cut short, as the last one is on a disk that fills up. To go on is sound:
        // the next transaction writes and flushes all its pages anew, and what came before was flushed in its time.
        if met.status == EIO, !self.shared.system.hasSpace(self.shared.folderPath) {
            failure = LMDBFailure(status: ENOSPC)
        }
        let error = self.described(failure)
        if failure.isNoSpace, !hasPanicked {
            self.shared.status = .full(error)
            return error
        }
        if failure.isPassing, !hasPanicked { return error }
        let hint = error.code == .damaged ? StateAdvice.damaged : StateAdvice.restart
        let final = AnnexError(error.code, error.message, at: error.location, hint: hint)
        self.shared.status = .failed(final)
        return final
    }

    func described(_ failure: LMDBFailure) -> AnnexError {
        failure.error("the change was not stored", self.shared.environment.path, .state)
    }

    mutating func checkSpace() {
        guard self.shared.system.now() >= self.nextSpaceCheck else { return }
        self.nextSpaceCheck = self.shared.system.now() + Self.spaceCheckInterval
        let folder = self.shared.folderPath
        let fullness = self.shared.system.fullness(folder)
        if fullness >= self.shared.settings.fullShare {
            let error = AnnexError(
                .system,
                "the event was not stored: the file system is \(Int(fullness * 100)) % full",
                at: folder,
                hint: "Make space on it, \(Int(self.shared.settings.fullShare * 100)) % is the limit; "
                    + "no restart is needed"
            )
            self.noSpace = error
            self.shared.status = .full(error)
        } else if self.noSpace != nil {
            self.noSpace = nil
            self.shared.status = .running
        }
    }

    /// Makes the map twice as large; false where that does not work. Blocks while a copy is made.
    func grow() -> Bool {
        let environment = self.shared.environment.file
        let (bytes, isOver) = environment.mapBytes.multipliedReportingOverflow(by: 2)
        guard !isOver else { return false }
        var status = MDB_PANIC
        var pause: Duration?
        repeat {
            while self.shared.copies.load(ordering: .sequentiallyConsistent) > 0 {
                self.shared.system.sleep(Self.copyPoll)
            }
            pause = self.shared.gate.whileEmpty(limit: Self.growthLimit) {
                status = environment.resize(to: bytes)
                if status == MDB_PANIC { self.shared.setUnmapped() }
            }
        } while pause == nil && self.shared.copies.load(ordering: .sequentiallyConsistent) > 0
        guard let pause else { return false }
        let spent = Int(pause / .microseconds(1))
        if spent > self.shared.longestPauseMicroseconds.load(ordering: .relaxed) {
            self.shared.longestPauseMicroseconds.store(spent, ordering: .relaxed)
        }
        guard status == 0 else { return false }
        self.shared.growths.wrappingAdd(1, ordering: .relaxed)
        self.shared.mapBytes.store(bytes, ordering: .relaxed)
        return true
    }
}
