package import AnnexCore
import Dispatch
import Synchronization

/// Holds the versions that a server serves, one per index, and swaps one for the next.
///
/// Readers do not take the lock: each event loop keeps its own list and compares one atomic number per command
/// (`generation`); only when that has moved does it fetch the new list.
package final class Engine: Sendable {
    /// Verifies, loads and warms a version. `nil` stands for what `current` names. Blocks.
    package typealias Loader = @Sendable (_ index: EntryName, _ version: EntryName?) throws -> ServedVersion

    package struct Status: Sendable {
        package var reloads = 0
        package var failedReloads = 0
        /// Says why the last attempt to load failed. It is nil after a success.
        package var lastError: String?
    }

    private struct State {
        var versions: [ServedVersion] = []
        var status: [EntryName: Status] = [:]
    }

    /// A load that was asked for, and who waits for it.
    private struct Load {
        let index: EntryName
        let version: EntryName?
        var waiters: [@Sendable (Result<EntryName, any Error>) -> Void]

        func isOf(_ index: EntryName, _ version: EntryName?) -> Bool { self.index == index && self.version == version }
    }

    private struct Loads {
        var running: Load?
        var waiting: [Load] = []
    }

    private let state = Mutex(State())
    /// Held while they are called.
    private let observers = Mutex<[@Sendable () -> Void]>([])
    private let reloading = Mutex(())
    private let loads = Mutex(Loads())
    private let loader = DispatchQueue(label: "annex-load")
    private let retired = RetiredVersions()
    private let load: Loader
    private let generationCounter = Atomic<Int>(0)

    /// Loads what `current` names of every index. Blocks.
    package init(indexes: [EntryName], load: @escaping Loader) throws {
        self.load = load
        for index in indexes {
            let version = try load(index, nil)
            self.state.withLock { state in
                state.versions.append(version)
                state.status[index] = Status()
            }
        }
    }

    /// Changes with every swap. One acquiring load: cheap enough for every command.
    package var generation: Int { self.generationCounter.load(ordering: .acquiring) }

    /// Returns the versions that are served now, in the order in which the indexes were named.
    package var versions: [ServedVersion] { self.state.withLock { $0.versions } }

    package func status(of index: EntryName) -> Status { self.state.withLock { $0.status[index] ?? Status() } }

    /// `body` runs after each swap, on the thread that swapped. It must not block, and must not call `onSwap`.
    package func onSwap(_ body: @escaping @Sendable () -> Void) { self.observers.withLock { $0.append(body) } }

    /// No observer is called any more when this returns, whatever is still being loaded.
    package func stopObserving() { self.observers.withLock { $0 = [] } }

    /// Loads a version and serves it instead of the index's present one. Blocks; one reload at a time.
    ///
    /// On an error the present version stays and `status` says why.
    /// - Returns: the name of the version now served.
    package func reload(_ index: EntryName, version: EntryName?) throws -> EntryName {
        try self.reloading.withLock { _ in
            do {
                let fresh = try self.load(index, version)
                self.swap(fresh)
                return fresh.description.version
            } catch {
                self.state.withLock { state in
                    state.status[index, default: Status()].failedReloads += 1
                    state.status[index, default: Status()].lastError = "\(error)"
                }
                throw error
            }
        }
    }

    /// Reloads on a thread of its own, so that nothing else waits for it. A load that has not begun is joined; one that runs is
    /// joined where it is of the same named version, as `current` may have moved since it was read.
    ///
    /// - Parameter completion: runs once, on that thread, and must not block.
    package func reload(
        _ index: EntryName,
        version: EntryName?,
        _ completion: @escaping @Sendable (Result<EntryName, any Error>) -> Void
    ) {
        let isJoined = self.loads.withLock { loads in
            if version != nil, loads.running?.isOf(index, version) ?? false {
                loads.running?.waiters.append(completion)
                return true
            }
            if let offset = loads.waiting.firstIndex(where: { $0.isOf(index, version) }) {
                loads.waiting[offset].waiters.append(completion)
                return true
            }
            loads.waiting.append(Load(index: index, version: version, waiters: [completion]))
            return false
        }
        if !isJoined { self.loader.async { self.runNextLoad() } }
    }

    private func runNextLoad() {
        let next = self.loads.withLock { loads in
            loads.running = loads.waiting.isEmpty ? nil : loads.waiting.removeFirst()
            return loads.running
        }
        guard let next else { return }
        let result = Result { try self.reload(next.index, version: next.version) }
        let waiters = self.loads.withLock { loads in
            defer { loads.running = nil }
            return loads.running?.waiters ?? []
        }
        for waiter in waiters { waiter(result) }
    }

    private func swap(_ fresh: ServedVersion) {
        let old = self.state.withLock { state in
            let index = fresh.description.index
            var old: ServedVersion?
            if let offset = state.versions.firstIndex(where: { $0.description.index == index }) {
                old = state.versions[offset]
                state.versions[offset] = fresh
            }
            state.status[index, default: Status()].reloads += 1
            state.status[index, default: Status()].lastError = nil
            self.generationCounter.add(1, ordering: .releasing)
            return old
        }
        if let old { self.retired.take(old) }
        self.observers.withLock { for observer in $0 { observer() } }
    }
}
