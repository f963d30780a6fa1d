package import AnnexCore
import CLMDB
import Foundation
import Synchronization

/// The live state of one index: users' events and tombstones, in `state.lmdb` under its folder. Any thread.
///
/// One process at a time has it open, one thread of that process writes it: each commit takes all changes that wait, so
/// that many share one flush of the disk.
package final class StateStore: Sendable {
    /// 16 random bytes that tell this store from any other.
    package let storeID: [UInt8]
    private let queue: StateQueue
    /// Nil once closed.
    private let shared: Mutex<StateShared?>
    private let writerEnd = DispatchGroup()

    /// Opens the state in `folder`, or makes it. Blocks; O(pages) where they are checked.
    ///
    /// - Throws: `.busy` where another process has it open, `.damaged` where the file is (nothing is mapped then),
    ///   `.system` where it cannot be written.
    package convenience init(_ folder: String, settings: StateSettings = StateSettings()) throws(AnnexError) {
        try self.init(folder, settings: settings, faults: StateFaults())
    }

    /// For tests of what happens when the disk fails.
    package init(_ folder: String, settings: StateSettings, faults: StateFaults) throws(AnnexError) {
        let lock = try StateFolder(folder, create: true)
        let environment = try StateFile.open(lock, settings)
        let shared = StateShared(environment, lock, settings, faults)
        let summary = try StateFile.summary(environment)
        self.storeID = summary.storeID
        shared.events.store(summary.events, ordering: .relaxed)
        shared.users.store(Int(clamping: summary.tally.users), ordering: .relaxed)
        self.queue = shared.queue
        self.shared = Mutex(shared)
        let end = self.writerEnd
        end.enter()
        // Through a box that the thread empties: when it says that it has ended it holds nothing of the file any more.
        let box = Mutex<StateShared?>(shared)
        let thread = Thread {
            Self.write(box.withLock { $0.take() })
            end.leave()
        }
        thread.name = "annex-state"
        thread.start()
    }

    private static func write(_ shared: consuming StateShared?) {
        guard let shared = consume shared else { return }
        var writer = StateWriter(shared)
        writer.run()
    }

    /// What waits is still written; `close` waits for that, this does not.
    deinit { self.queue.stop() }

    /// Hands a change to the writer. Does not block and keeps the order of the calls.
    ///
    /// - Parameter completion: runs once, on the writer's thread when the change is durable or was refused, or right
    ///   here, with `.overloaded`, where too many wait (`.badInput` where the change is none). It must not block.
    package func submit(
        _ change: StateChange,
        _ completion: @escaping @Sendable (Result<StateOutcome, AnnexError>) -> Void
    ) {
        if let error = change.fault ?? self.queue.put(change, completion) { completion(.failure(error)) }
    }

    /// A reader for one thread. It may outlive the store, which keeps the file open and locked.
    ///
    /// - Throws: `.limit` where there are too many.
    package func makeReader() throws(AnnexError) -> StateReader { try StateReader(self.open()) }

    package var status: StateStatus {
        guard let shared = self.shared.withLock({ $0 }) else { return .failed(self.closed) }
        return shared.status
    }

    package var counts: StateCounts { self.shared.withLock { $0 }?.counts ?? StateCounts() }

    /// Takes no more changes, waits until all that wait are durable and answered, and lets go of the file, unless a
    /// reader still holds it. Blocks; not to be called from a completion. More than one call does no harm.
    package func close() {
        self.queue.stop()
        self.writerEnd.wait()
        self.shared.withLock { $0 = nil }
    }

    private var closed: AnnexError { AnnexError(.system, "the state is closed") }

    func open() throws(AnnexError) -> StateShared {
        guard let shared = self.shared.withLock({ $0 }) else { throw self.closed }
        return shared
    }
}

/// The file, from its making to its opening.
enum StateFile {
    /// What a file says of itself.
    struct Summary {
        let storeID: [UInt8]
        let tally: StateTally
        let events: Int
    }

    static func open(_ folder: StateFolder, _ settings: StateSettings) throws(AnnexError) -> StateEnvironment {
        var status = stat()
        if unsafe stat(folder.file, &status) != 0 {
            guard errno == ENOENT else { throw StateFolder.failure("cannot be looked at", at: folder.file) }
            try Self.create(folder)
            status.st_size = 0
        }
        if settings.checksPages { try PageCheck.check(folder.file, state: true) }
        let environment = try StateEnvironment(
            folder.file,
            in: folder,
            mode: .readWrite(readers: settings.readerLimit),
            mapBytes: max(settings.mapBytes, Int(status.st_size) * 2)
        )
        environment.dropDeadReaders()
        return environment
    }

    /// Writes an empty store under a temporary name and gives it its own, so that a file without tables is never taken
    /// for a new one.
    private static func create(_ folder: StateFolder) throws(AnnexError) {
        let path = folder.path + "/.tmp-state.lmdb"
        guard unsafe unlink(path) == 0 || errno == ENOENT else {
            throw StateFolder.failure("cannot be removed", at: path)
        }
        try Self.fill(path, folder)
        guard unsafe rename(path, folder.file) == 0 else { throw StateFolder.failure("cannot be renamed", at: path) }
        try StateFolder.flush(folder.path)
    }

    private static func fill(_ path: String, _ folder: StateFolder) throws(AnnexError) {
        let environment = try StateEnvironment(path, in: folder, mode: .create, mapBytes: 1 << 20)
        var format: [UInt8] = []
        StateSchema.append(StateSchema.format, to: &format)
        StateSchema.seal(&format, key: StateSchema.formatKey)
        var random = SystemRandomNumberGenerator()
        var store = (0..<StateSchema.storeIDBytes).map { _ in UInt8.random(in: 0...255, using: &random) }
        StateSchema.seal(&store, key: StateSchema.storeKey)
        do throws(StoreFailure) {
            let transaction = unsafe try environment.begin(readOnly: false)
            let rows = [
                (StateSchema.formatKey, format), (StateSchema.storeKey, store),
                (StateSchema.tallyKey, StateTally().value),
            ]
            for row in rows {
                let status = unsafe StateBytes.lend(row.0) { key in
                    unsafe StateBytes.lend(row.1) { value in
                        unsafe mdb_put(transaction, environment.tables.meta, &key, &value, 0)
                    }
                }
                guard status == 0 else {
                    unsafe mdb_txn_abort(transaction)
                    throw StoreFailure(status: status)
                }
            }
            try StoreFailure.check(unsafe mdb_txn_commit(transaction))
        } catch { throw StateFailure.error(error.status, "cannot be made", path) }
    }

    /// Reads table `meta`.
    ///
    /// - Throws: `.damaged` where it is, or where the format is another.
    static func summary(_ environment: StateEnvironment) throws(AnnexError) -> Summary {
        do throws(StoreFailure) {
            let transaction = unsafe try environment.begin(readOnly: true)
            defer { unsafe mdb_txn_abort(transaction) }
            func row(_ key: [UInt8], _ bytes: Int) throws(StoreFailure) -> [UInt8] {
                let found = unsafe try StateBytes.get(transaction, environment.tables.meta, key) { value in
                    unsafe key.withUnsafeBytes { unsafe StateSchema.unseal(value, key: $0).map { unsafe Array($0) } }
                }
                guard let content = found ?? nil, content.count == bytes else {
                    throw StoreFailure(status: MDB_CORRUPTED)
                }
                return content
            }
            let format = try row(StateSchema.formatKey, 4)
            guard format == [UInt8(StateSchema.format), 0, 0, 0] else {
                throw StoreFailure(status: MDB_VERSION_MISMATCH)
            }
            let storeID = try row(StateSchema.storeKey, StateSchema.storeIDBytes)
            let tally = unsafe try StateBytes.get(transaction, environment.tables.meta, StateSchema.tallyKey) {
                unsafe StateTally($0)
            }
            guard let tally = tally ?? nil else { throw StoreFailure(status: MDB_CORRUPTED) }
            var status = MDB_stat()
            try StoreFailure.check(unsafe mdb_stat(transaction, environment.tables.events, &status))
            return Summary(storeID: storeID, tally: tally, events: Int(clamping: status.ms_entries))
        } catch {
            throw StateFailure.error(error.status, "cannot read what the store says of itself", environment.path)
        }
    }
}
