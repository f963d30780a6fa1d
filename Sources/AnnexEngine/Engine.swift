package import AnnexCore
import Synchronization

/// The versions that a server serves, one per index, and the swap from one to the next.
///
/// Readers do not take the lock: each event loop keeps its own list and compares one atomic number per command
/// (`generation`); only when that has moved does it fetch the new list.
package final class Engine: Sendable {
    /// Verifies, loads and warms a version. `nil` stands for what `current` names. Blocks.
    package typealias Loader = @Sendable (_ index: EntryName, _ version: EntryName?) throws -> ServedVersion

    package struct Status: Sendable {
        package var reloads = 0
        package var failedReloads = 0
        /// Why the last attempt to load failed; nil after a success.
        package var lastError: String?
    }

    private struct State {
        var versions: [ServedVersion] = []
        var status: [EntryName: Status] = [:]
        var observers: [@Sendable () -> Void] = []
    }

    private let state = Mutex(State())
    private let reloading = Mutex(())
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

    /// What is served now, in the order in which the indexes were named.
    package var versions: [ServedVersion] { self.state.withLock { $0.versions } }

    package func status(of index: EntryName) -> Status { self.state.withLock { $0.status[index] ?? Status() } }

    /// `body` runs after each swap, on the thread that swapped.
    package func onSwap(_ body: @escaping @Sendable () -> Void) { self.state.withLock { $0.observers.append(body) } }

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

    private func swap(_ fresh: ServedVersion) {
        let observers = self.state.withLock { state in
            let index = fresh.description.index
            if let offset = state.versions.firstIndex(where: { $0.description.index == index }) {
                state.versions[offset] = fresh
            }
            state.status[index, default: Status()].reloads += 1
            state.status[index, default: Status()].lastError = nil
            self.generationCounter.add(1, ordering: .releasing)
            return state.observers
        }
        for observer in observers { observer() }
    }
}
